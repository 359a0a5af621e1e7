/**
 * What there is to serve: one listing of the store for all who ask within a second.
 *
 * @module
 */
import { listRestorePoints, type ObjectInfo, type ObjectStore } from "pagestream";
import { formatTxid, parseFileName } from "pagestream/ltx";
import { TIMESTAMP_METADATA, versionTag } from "pagestream/transports/store-kit";
import { levelsPrefix, servedKey, storeKey } from "./keys.ts";

/** Entries of a page of the index, where pages are asked for. */
const PAGE_SIZE = 5_000;

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
  /** Milliseconds, from anywhere on. */
  readonly now: () => number;
}

/** A listing that is done, or under way. */
interface Listed {
  readonly files: Promise<readonly ObjectInfo[]>;
  /** When it was done. */
  listedAt?: number;
}

/** The files of a replica by the keys under which they are served. */
export class ServedListing {
  readonly #store: ObjectStore;
  readonly #options: ListingOptions;
  #latest: Listed | undefined;

  constructor(store: ObjectStore, options: ListingOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** The index as `httpStore` reads it. */
  async index({ prefix, startAfter }: IndexRequest): Promise<object> {
    const files = await this.#files();
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

  /** How the replica stands, for people and probes. */
  async info(): Promise<object> {
    const files = await this.#files();
    const points = await listRestorePoints(this.#view(files));
    const levels = new Map<number, { level: number; files: number; bytes: number }>();
    let newest: { readonly key: string; readonly txid: bigint } | undefined;
    for (const { key, size } of files) {
      const number = Number(key.slice(4, 5));
      const level = levels.get(number) ?? { level: number, files: 0, bytes: 0 };
      levels.set(number, { ...level, files: level.files + 1, bytes: level.bytes + size });
      const txid = parseFileName(key.slice(6))?.maxTxid ?? 0n;
      if (newest === undefined || txid > newest.txid) newest = { key, txid };
    }
    return {
      txid: newest === undefined ? null : formatTxid(newest.txid),
      time: newest === undefined ? null : await this.#timeOf(newest.key),
      restore_points: points.length,
      decrypted: this.#store.encrypted === true,
      levels: [...levels.values()],
    };
  }

  async #timeOf(key: string): Promise<string> {
    const { layout = "directory" } = this.#store;
    const info = await this.#store.head(storeKey(layout, key) ?? key);
    return info.metadata?.[TIMESTAMP_METADATA] ?? info.lastModified.toISOString();
  }

  /** The files as a store, whose times are as exact as the listing's: only their number is wanted. */
  #view(files: readonly ObjectInfo[]): ObjectStore {
    const { capabilities } = this.#store;
    return {
      ...this.#store,
      layout: "directory",
      capabilities: { ...capabilities, metadataInList: true },
      async *list({ prefix = "", startAfter = "" } = {}) {
        yield* files.filter(({ key }) => key.startsWith(prefix) && key > startAfter);
      },
    };
  }

  #files(): Promise<readonly ObjectInfo[]> {
    const { freshMs, now } = this.#options;
    const before = this.#latest;
    const isFresh = before?.listedAt === undefined || now() - before.listedAt < freshMs;
    if (before !== undefined && isFresh) return before.files;
    const latest: Listed = { files: this.#list() };
    this.#latest = latest;
    latest.files.then(
      () => (latest.listedAt = now()),
      // Whoever asks next is not told of it, but tries anew.
      () => (this.#latest = undefined),
    );
    return latest.files;
  }

  async #list(): Promise<readonly ObjectInfo[]> {
    const { layout = "directory" } = this.#store;
    const files: ObjectInfo[] = [];
    for await (const info of this.#store.list({ prefix: levelsPrefix(layout) })) {
      const key = servedKey(layout, info.key);
      if (key !== undefined) files.push({ ...info, key });
    }
    return files;
  }
}

/** The header `ETag` of a version. */
export function entityTag(info: Pick<ObjectInfo, "etag" | "size" | "lastModified">): string {
  const { etag, size, lastModified } = info;
  const opaque = versionTag(etag, size, lastModified).replaceAll('"', "");
  return `"${opaque.replaceAll(/[^\x21-\x7e]/g, encodeURIComponent)}"`;
}
