/**
 * `ingestRoutes`: a replica that clients write to, browsers above all, without the keys of the store behind.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import type { Platform } from "../core/platform.ts";
import { type LevelsOptions, resolveLevels } from "../replica/levels.ts";
import type { Replica } from "../replica/replica.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";
import { checkBounds } from "./bounds.ts";
import { documentRoute } from "./document-route.ts";
import { BESIDE, getBeside, putBeside } from "./ingest-beside.ts";
import { type BodyLimits, receiveSmall } from "./ingest-body.ts";
import { IngestDesk } from "./ingest-desk.ts";
import {
  besideOperation,
  CAPABILITIES_OPERATION,
  OBJECTS_OPERATION,
  PUT_OPERATION,
  REMOVE_OPERATION,
} from "./ingest-document.ts";
import { putFile } from "./ingest-file.ts";
import { type RemovedObject, removeObjects } from "./ingest-removal.ts";
import { ServedListing } from "./listing.ts";
import { Mounts } from "./mounted.ts";
import { Refusal } from "./refusal.ts";
import { type AccessOptions, checkAccess, mountRoutes, type Route } from "./route.ts";

/** How much clients may send. */
export interface IngestLimits {
  /** Bytes of a file. @default 1073741824 (1 GiB) */
  readonly fileBytes?: number | undefined;
  /** Files that are received at a time, of all clients; past it 503. @default 16 */
  readonly uploads?: number | undefined;
  /** Milliseconds of silence after which a body is given up. @default 15000 */
  readonly stallMs?: number | undefined;
  /** Replicas of which something is remembered; the one asked for longest ago goes first. @default 64 */
  readonly replicas?: number | undefined;
}

/** Options of {@linkcode ingestRoutes}. */
export interface IngestRoutesOptions extends AccessOptions {
  /** The replica that a request writes to, as `replicaRoutes` takes it. */
  // oxlint-disable-next-line typescript/no-explicit-any -- whatever bindings the application has
  readonly replica: (c: Context<any>) => ObjectStore | Replica | Promise<ObjectStore | Replica>;
  /** Names the replica of a request, as `replicaRoutes` takes it. @default the object that `replica` returns */
  // oxlint-disable-next-line typescript/no-explicit-any -- whatever bindings the application has
  readonly key?: ((c: Context<any>) => string) | undefined;
  /** Bounds. */
  readonly limits?: IngestLimits | undefined;
  /**
   * What retention may remove: clients that ask for more are refused. The defaults are those of `replicate`;
   * `retention: { enabled: false }` lets nothing be removed.
   */
  readonly levels?: Pick<LevelsOptions, "l0RetentionMs" | "snapshot" | "retention"> | undefined;
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
}

/** Bytes of a request to remove objects, and how many of these it may name. */
const REMOVAL_BYTES = 512 << 10;
const REMOVAL_OBJECTS = 1_000;

/**
 * Makes routes for writing a replica through `httpStore`, to be mounted beside `replicaRoutes`, which serve what is read.
 *
 * Every file is checked before it is visible, and joins only where the history of the replica leads to it; nothing is ever
 * replaced, and nothing is removed that retention would keep.
 *
 * @example
 * ```ts
 * import { Hono } from "hono";
 * import { ingestRoutes, replicaRoutes } from "pagestream/http";
 * import { httpStore } from "pagestream/transports/http";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const store = memoryStore();
 * const options = { replica: () => store, authorize: "public" } as const;
 * const app = new Hono();
 * app.route("/db", replicaRoutes(options));
 * app.route("/db", ingestRoutes(options));
 *
 * const client = httpStore("http://localhost/db", {
 *   fetch: async (url, init) => await app.request(url, init),
 * });
 * console.log((await client.probe?.())?.conditionalPut); // true
 * ```
 */
export function ingestRoutes(options: IngestRoutesOptions): Hono {
  checkAccess(options, "ingest routes");
  const { replica, key, limits = {}, platform = webPlatform } = options;
  const { fileBytes = 1 << 30, uploads = 16, stallMs = 15_000, replicas = 64 } = limits;
  checkBounds("ingest routes", { fileBytes, uploads, stallMs, replicas });
  const settings = resolveLevels(options.levels);
  const mounts = new Mounts({ replica, key, maxReplicas: replicas, freshMs: 0, platform });
  const desks = new WeakMap<Replica, IngestDesk>();
  const body: BodyLimits = { maxBytes: fileBytes, stallMs, clock: platform.clock };
  let receiving = 0;

  const deskOf = async (c: Context): Promise<IngestDesk> => {
    const { replica: written } = await mounts.of(c);
    let desk = desks.get(written);
    if (desk === undefined) {
      await written.prepareToWrite({ signal: c.req.raw.signal });
      desks.set(written, (desk = new IngestDesk(written)));
    }
    return desk;
  };
  /** Lets a request in whose body is large, or tells it to come again. */
  const received = async (take: () => Promise<Response>): Promise<Response> => {
    if (receiving >= uploads) {
      throw new Refusal("BUSY", "too many files are being received", { "retry-after": "1" });
    }
    receiving++;
    try {
      return await take();
    } finally {
      receiving--;
    }
  };

  const routes: Route[] = [
    {
      method: "GET",
      path: "/ingest",
      operation: CAPABILITIES_OPERATION,
      handle: async (c) => {
        const { capabilities } = (await deskOf(c)).replica.store;
        const { conditionalPut, conditionalReplace, metadataInList } = capabilities;
        c.header("cache-control", "no-store");
        const can = { conditionalPut, conditionalReplace, metadataInList };
        return c.json({ ingest: 1, capabilities: can, maxBytes: fileBytes });
      },
    },
    {
      method: "GET",
      path: "/ingest/objects",
      operation: OBJECTS_OPERATION,
      handle: async (c) => {
        const { replica: listed } = await deskOf(c);
        const prefix = c.req.query("prefix") ?? "";
        const startAfter = c.req.query("startAfter");
        c.header("cache-control", "no-store");
        // One that no other request has begun: a writer must see what is there now.
        const listing = new ServedListing(listed, { platform, freshMs: 0 });
        return c.json(await listing.index({ prefix, startAfter }));
      },
    },
    {
      method: "POST",
      path: "/ingest/remove",
      operation: REMOVE_OPERATION,
      handle: async (c) => {
        const bytes = await receiveSmall(c, { ...body, maxBytes: REMOVAL_BYTES });
        const objects = parseRemoval(bytes);
        await removeObjects(await deskOf(c), objects, { settings, signal: c.req.raw.signal });
        return c.body(null, 204);
      },
    },
    {
      method: "PUT",
      path: "/ltx/:level/:name",
      operation: PUT_OPERATION,
      handle: (c) => received(async () => await putFile(c, await deskOf(c), body)),
    },
  ];
  for (const object of BESIDE) {
    const path = `/${object.key}`;
    routes.push(
      {
        method: "GET",
        path,
        operation: besideOperation("get", object),
        handle: async (c) => await getBeside(c, object, (await deskOf(c)).replica.store),
      },
      {
        method: "PUT",
        path,
        operation: besideOperation("put", object),
        handle: async (c) => {
          const { store } = (await deskOf(c)).replica;
          return await putBeside(c, object, { store, limits: body });
        },
      },
    );
  }
  routes.push(documentRoute(routes, "/ingest/openapi.json"));
  const app = new Hono();
  mountRoutes(app, routes, { access: options, platform });
  return app;
}

function parseRemoval(bytes: Uint8Array): RemovedObject[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    parsed = undefined;
  }
  const { objects } = Object(parsed) as { readonly objects?: unknown };
  if (!Array.isArray(objects) || objects.length > REMOVAL_OBJECTS) {
    throw new Refusal("BAD_REQUEST", `objects is a list of up to ${REMOVAL_OBJECTS}`);
  }
  return objects.map((each) => {
    const { key, etag } = Object(each) as Record<string, unknown>;
    if (typeof key !== "string" || !["string", "undefined"].includes(typeof etag)) {
      throw new Refusal("BAD_REQUEST", "an object has a key, and may have an etag");
    }
    return { key, etag: etag as string | undefined };
  });
}
