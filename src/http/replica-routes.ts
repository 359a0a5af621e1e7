/**
 * `replicaRoutes`: all that can be read of a replica, as routes for a Hono application.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import type { Platform } from "../core/platform.ts";
import type { Sqlite3 } from "../vfs/sqlite3.ts";
import { webPlatform } from "../transports/web-platform.ts";
import { checkBounds } from "./bounds.ts";
import { changesRoute } from "./changes.ts";
import { ltxFileRoute } from "./ltx-file.ts";
import { pagesRoute } from "./pages.ts";
import { type QueryLimits, queryRoute } from "./query.ts";
import { Mounts, type Served } from "./mounted.ts";
import { documentRoute } from "./document-route.ts";
import { overviewRoutes } from "./overview.ts";
import { mountPage } from "./page.ts";
import { databasesRoute, type ListDatabases } from "./page-databases.ts";
import {
  type AccessOptions,
  checkAccess,
  mountFallback,
  mountRoutes,
  type Route,
} from "./route.ts";
import { snapshotRoute } from "./snapshot.ts";
import { Slots } from "./slots.ts";

/** How much is done at a time, and for how long. */
export interface HttpLimits {
  /** Files that are sent at a time; past it 503. @default 64 */
  readonly streams?: number | undefined;
  /** Snapshots that are restored at a time; past it 503. @default 8 */
  readonly snapshots?: number | undefined;
  /** Listeners to changes at a time; past it 503. @default 100 */
  readonly listeners?: number | undefined;
  /** Queries at a time, those included that wait for others; past it 503. @default 16 */
  readonly queries?: number | undefined;
  /** Bounds of each query. */
  readonly query?: QueryLimits | undefined;
  /** Milliseconds a client may take for one piece of what it asked for. @default 60000 */
  readonly stallMs?: number | undefined;
  /** Milliseconds for which the position of `Pagestream-Position` is waited for. @default 5000 */
  readonly positionMs?: number | undefined;
  /** Replicas whose listings and readers are kept; the one asked for longest ago goes first. @default 64 */
  readonly replicas?: number | undefined;
  /** Memory in bytes for the pages of one replica. @default 16777216 (16 MiB) */
  readonly cacheBytes?: number | undefined;
  /** Milliseconds without a request after which the reader of a replica is closed. @default 300000 */
  readonly idleMs?: number | undefined;
}

/** Options of {@linkcode replicaRoutes}. */
export interface ReplicaRoutesOptions extends AccessOptions {
  /**
   * The replica of a request. Requests share a listing and a reader where they get the same object: keep the store, or say
   * with `key` which requests are for one replica. In workerd they share the memory of a reader.
   */
  readonly replica: (c: Context) => Served | Promise<Served>;
  /**
   * Names the replica of a request, where `replica` makes a new store for each: it is then asked only for names that are
   * not known yet. Two replicas must never have one name. @default the object that `replica` returns
   */
  readonly key?: ((c: Context) => string) | undefined;
  /**
   * Whether people who come with a browser get a page to look at. It holds nothing of the replica and is served to
   * everybody; what it shows it asks the routes for, with the token that its reader gives it. @default true
   */
  readonly page?: boolean | undefined;
  /** The databases that the page lists, where there are several. @default none */
  readonly databases?: ListDatabases | undefined;
  /**
   * What `sqlite3InitModule()` of `@sqlite.org/sqlite-wasm` resolves to, or a function that is called once for it: makes
   * queries possible. While SQLite computes, the thread does nothing else, for as long as a query may take.
   *
   * @default no queries
   */
  readonly sqlite3?: Sqlite3 | (() => Sqlite3 | Promise<Sqlite3>) | undefined;
  /** Bounds. */
  readonly limits?: HttpLimits | undefined;
  /** For how many milliseconds the newest state and the files are told again, without a look. @default 1000 */
  readonly freshMs?: number | undefined;
  /** Milliseconds between two looks for those who listen to changes. @default 1000 */
  readonly pollMs?: number | undefined;
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
}

/** The routes, and what they hold open. */
export type ReplicaRoutes = Hono &
  AsyncDisposable & {
    /** Closes what was opened for requests. Stores and replicas are their owner's to close. */
    close(): Promise<void>;
  };

/**
 * Makes routes for reading a replica, to be mounted on any Hono application in any runtime.
 *
 * @example
 * ```ts
 * import { Hono } from "hono";
 * import { replicaRoutes } from "pagestream/http";
 * import { memoryStore } from "pagestream/transports/memory";
 *
 * const store = memoryStore();
 * const app = new Hono();
 * app.route("/db", replicaRoutes({ replica: () => store, authorize: "public" }));
 * const response = await app.request("/db");
 * console.log(await response.json()); // { txid: null, … }
 * ```
 */
export function replicaRoutes(options: ReplicaRoutesOptions): ReplicaRoutes {
  checkAccess(options, "replica routes");
  const { replica, key, limits = {}, platform = webPlatform } = options;
  const { freshMs = 1000, pollMs = 1000, onFailure = () => undefined } = options;
  const { query: bounds, ...counts } = limits;
  checkBounds("replica routes", { ...counts, ...bounds, pollMs });
  const { streams = 64, snapshots = 8, stallMs = 60_000, positionMs = 5000 } = limits;
  const {
    queries = 16,
    query = {},
    listeners = 100,
    replicas: maxReplicas = 64,
    cacheBytes,
    idleMs,
  } = limits;
  const { clock } = platform;
  const mounts = new Mounts({
    replica,
    key,
    maxReplicas,
    freshMs,
    idleMs,
    cacheBytes,
    platform,
    isPerRequest: isWorkerd(),
  });
  // What asks for authorization must not be kept where others read it.
  const scope = options.authorize === "public" ? "public" : "private";
  const slots = (count: number): Slots => new Slots(count, { stallMs, clock });
  const shared = { mounts, scope, platform, positionMs, onFailure } as const;
  const small = slots(streams);
  const routes: Route[] = [
    ...overviewRoutes(mounts, { queries: options.sqlite3 !== undefined }),
    ltxFileRoute({ ...shared, slots: small }),
    snapshotRoute({ ...shared, slots: slots(snapshots) }),
    pagesRoute({ ...shared, slots: small }),
    changesRoute({ ...shared, slots: slots(listeners), pollMs }),
    queryRoute({ ...shared, slots: slots(queries), sqlite3: loaded(options), limits: query }),
  ];
  const { page = true, databases = () => [] } = options;
  if (page) routes.push(databasesRoute(databases));
  routes.push(documentRoute(routes, "/openapi.json"));
  const app = new Hono();
  if (page) mountPage(app);
  mountRoutes(app, routes, { access: options, platform });
  mountFallback(app, options);
  const close = (): Promise<void> => mounts.close();
  return Object.assign(app, { close, [Symbol.asyncDispose]: close });
}

/** Whether streams, signals and timers are of no use to another request than the one that made them. */
function isWorkerd(): boolean {
  const { navigator } = globalThis as { readonly navigator?: { readonly userAgent?: string } };
  return navigator?.userAgent === "Cloudflare-Workers";
}

/** Loads SQLite once for all; after a failure anew for who asks next. */
function loaded({ sqlite3 }: ReplicaRoutesOptions): (() => Promise<Sqlite3>) | undefined {
  if (sqlite3 === undefined) return undefined;
  let loading: Promise<Sqlite3> | undefined;
  return async () => {
    loading ??= Promise.resolve(typeof sqlite3 === "function" ? sqlite3() : sqlite3);
    try {
      return await loading;
    } catch (error) {
      loading = undefined;
      throw error;
    }
  };
}
