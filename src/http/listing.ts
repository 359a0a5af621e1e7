/**
 * What there is to serve: one listing of the store for all who ask within a second.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import { fileKey, LEVEL_COUNT, levelsPrefix, parseAnyFileKey } from "../replica/layout.ts";
import type { LtxFileInfo, Replica } from "../replica/replica.ts";
import { type RestorePoint, restorablePoints } from "../replica/restore-points.ts";
import type { ObjectInfo } from "../transports/object-store.ts";
import { versionTag } from "../transports/plain-object.ts";
import { parseTimestamp, TIMESTAMP_METADATA } from "../transports/timestamp.ts";
import type { Operation } from "./openapi.ts";

/** Entries of a page of the index, where pages are asked for. */
const PAGE_SIZE = 5_000;

/** How the index is asked for, and answered, in the words of OpenAPI. */
export const INDEX_REQUEST: Pick<Operation, "parameters" | "answers"> = {
  parameters: [
    {
      name: "prefix",
      in: "query",
      description: "Only keys that begin with this",
      schema: { type: "string" },
    },
    {
      name: "startAfter",
      in: "query",
      description: "Only keys after this one, and by pages; empty for the first page",
      schema: { type: "string" },
    },
  ],
  answers: {
    200: {
      description: "The keys of the LTX files",
      type: "application/json",
      schema: { type: "object", required: ["objects"] },
    },
  },
};

/** Which part of the index. */
export interface IndexRequest {
  readonly prefix: string;
  /** A key after which the page begins, empty for the first one; undefined for all in one. */
  readonly startAfter: string | undefined;
}

/** Options of {@linkcode ServedListing}. */
export interface ListingOptions {
  /** For how many milliseconds a listing is told again. */
  readonly freshMs: number;
  /** Time and chance. */
  readonly platform: Platform;
  /** Whether a request must not wait for what another has under way. @default false */
  readonly isPerRequest?: boolean | undefined;
}

/** A listing that is done, or under way. */
interface Listed {
  readonly files: Promise<readonly ObjectInfo[]>;
  /** When it was done. */
  listedAt?: number;
}

/** The files of a replica by the keys under which they are served. */
export class ServedListing {
  readonly #replica: Replica;
  readonly #options: ListingOptions;
  #latest: Listed | undefined;

  constructor(replica: Replica, options: ListingOptions) {
    this.#replica = replica;
    this.#options = options;
  }

  /** The index as `httpStore` reads it. */
  async index({ prefix, startAfter }: IndexRequest): Promise<object> {
    const files = await this.objects();
    const wanted = files.filter(({ key }) => key.startsWith(prefix) && key > (startAfter ?? ""));
    const page = startAfter === undefined ? wanted : wanted.slice(0, PAGE_SIZE);
    const objects = page.map(({ key, size, etag, lastModified, metadata }) => {
      const time = metadata?.[TIMESTAMP_METADATA];
      const known = time === undefined ? undefined : { [TIMESTAMP_METADATA]: time };
      return {
        key,
        size,
        lastModified,
        etag: entityTag({ etag, size, lastModified }),
        metadata: known,
      };
    });
    return page.length < wanted.length ? { objects, more: true } : { objects };
  }

  /** The files of every level, lowest first; their times are as exact as the listing of the store. */
  async levels(): Promise<LtxFileInfo[][]> {
    const levels: LtxFileInfo[][] = Array.from({ length: LEVEL_COUNT }, () => []);
    for (const info of await this.objects()) {
      const span = parseAnyFileKey("directory", info.key);
      const text = info.metadata?.[TIMESTAMP_METADATA];
      const ms = text === undefined ? undefined : parseTimestamp(text);
      const time = ms === undefined ? info.lastModified : new Date(ms);
      const { size, etag } = info;
      if (span === undefined) continue;
      levels[span.level]?.push({ ...span, size, etag, time, key: this.#replica.key(span) });
    }
    return levels;
  }

  /** The states that can be restored, oldest first. */
  async points(): Promise<RestorePoint[]> {
    return restorablePoints((await this.levels()).flat());
  }

  /** The files by the keys under which they are served, in their order. */
  objects(): Promise<readonly ObjectInfo[]> {
    const { freshMs, platform, isPerRequest = false } = this.#options;
    const { clock } = platform;
    const before = this.#latest;
    const listedAt = before?.listedAt;
    const isFresh = listedAt === undefined ? !isPerRequest : clock.monotonic() - listedAt < freshMs;
    if (before !== undefined && isFresh) return before.files;
    const latest: Listed = { files: this.#list() };
    this.#latest = latest;
    latest.files.then(
      () => (latest.listedAt = clock.monotonic()),
      // Whoever asks next is not told of it, but tries anew.
      () => (this.#latest = undefined),
    );
    return latest.files;
  }

  async #list(): Promise<readonly ObjectInfo[]> {
    const { layout, store } = this.#replica;
    const prefix = levelsPrefix(layout);
    return await this.#replica.retry({ operation: "list", object: prefix }, async () => {
      const files: ObjectInfo[] = [];
      for await (const info of store.list({ prefix })) {
        const span = parseAnyFileKey(layout, info.key);
        if (span !== undefined) files.push({ ...info, key: fileKey("directory", span) });
      }
      return files;
    });
  }
}

/** The header `ETag` of a version. */
export function entityTag(info: Pick<ObjectInfo, "etag" | "size" | "lastModified">): string {
  const { etag, size, lastModified } = info;
  const opaque = versionTag(etag, size, lastModified).replaceAll('"', "");
  return `"${opaque.replaceAll(/[^\x21-\x7e]/g, encodeURIComponent)}"`;
}
