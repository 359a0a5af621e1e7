/**
 * What a person types for a replica or a file: a path or a URL.
 *
 * @module
 */
import { createReadStream, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { ObjectStore } from "pagestream";
import { fileStore } from "pagestream/files-kit";
import type { DatabaseConfig } from "../config/config.ts";
import { type ConfigFlags, databaseAt, hasConfig, readConfiguration } from "./configuration.ts";
import { withEncryption } from "./encryption.ts";
import { CommandError, EXIT, usageError } from "./failure.ts";

/** A replica that was named on the command line. */
export interface NamedReplica {
  readonly store: ObjectStore;
  /** Directory it lies in; undefined for one that is not on this machine. */
  readonly path: string | undefined;
  /** As it was typed, without what may be a secret. */
  readonly text: string;
  /** What a file in it is to be called. */
  fileName(key: string): string;
}

/** Opens the replica at a path or URL, which need not exist. Whoever opened it closes its store. */
export async function openLocation(
  text: string,
  access: "read" | "write" = "read",
): Promise<NamedReplica> {
  const shown = withoutSecrets(text);
  if (isRemote(text)) {
    // Only here: a file on this machine needs none of it.
    const { storeFromUrl } = await import("../store-from-url.ts");
    const store = await withEncryption(await storeFromUrl(text, { form: "config", access }));
    return { store, path: undefined, text: shown, fileName: (key) => `${key} in ${shown}` };
  }
  const path = toPath(text);
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) {
    throw usageError(`${text} is a file, a replica is a directory`);
  }
  const store = await withEncryption(fileStore(path));
  return { store, path, text, fileName: (key) => resolve(path, key) };
}

/** The replica of a path or URL, or of a database of the configuration. */
export interface NamedTarget extends NamedReplica {
  /** The database whose replica it is, where it came from the configuration. */
  readonly database: DatabaseConfig | undefined;
}

/**
 * Opens what a person names to read from: a replica by its URL or directory, or a database of the configuration by its
 * path. Without `-config` a directory is a replica, and so is everything where there is no configuration.
 */
export async function openTarget(text: string, flags: ConfigFlags): Promise<NamedTarget> {
  const isUrl = schemeOf(text) !== undefined && !/^sqlite3?:\/\//.test(text);
  if (isUrl && flags.config !== undefined) {
    throw usageError("cannot specify a replica URL and the -config flag");
  }
  const isDirectory = (): boolean =>
    statSync(text, { throwIfNoEntry: false })?.isDirectory() === true;
  const isReplica = isUrl || (flags.config === undefined && (isDirectory() || !hasConfig(flags)));
  if (isReplica) return { ...(await openLocation(text)), database: undefined };
  const database = databaseAt(await readConfiguration(flags), text);
  return { ...(await openDatabase(database)), database };
}

/** Opens the replica of a database of the configuration. Whoever opened it closes its store. */
export async function openDatabase(
  { replica }: DatabaseConfig,
  access: "read" | "write" = "read",
): Promise<NamedReplica> {
  const { storeOf } = await import("../config/store-of.ts");
  const store = await storeOf(replica, access);
  const { name, type } = replica;
  const fileName = (key: string): string =>
    type === "file" ? resolve(name, key) : `${key} in ${name}`;
  return { store, path: type === "file" ? name : undefined, text: name, fileName };
}

/** The bytes of one LTX file, wherever it lies. */
export interface NamedFile {
  /** As it was typed, without what may be a secret. */
  readonly text: string;
  /** Its last part. */
  readonly name: string;
  readonly size: number;
  /** Reads so many bytes from an offset on; fewer only at its end. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Reads it whole. */
  chunks(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** Opens an LTX file at a path or URL; undefined where it is a directory, which the URL of another store never tells. */
export async function openLtxFile(text: string, verb: string): Promise<NamedFile | undefined> {
  return isRemote(text) ? await openRemoteFile(text) : await openLocalFile(text, verb);
}

async function openLocalFile(text: string, verb: string): Promise<NamedFile | undefined> {
  const path = toPath(text);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw missing(verb, text);
  if (!stat.isFile()) return undefined;
  const handle = await open(path, "r");
  return {
    text: path,
    name: basename(path),
    size: stat.size,
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await handle.read(bytes, 0, length, offset);
      return bytes.subarray(0, bytesRead);
    },
    chunks: () => createReadStream(path, { highWaterMark: 1 << 20 }),
    close: () => handle.close(),
  };
}

async function openRemoteFile(text: string): Promise<NamedFile | undefined> {
  const match = /^(.+)\/([^/?#]+\.ltx)((?:\?.*)?)$/s.exec(text);
  if (match === null) return undefined;
  const [, folder = "", name = "", query = ""] = match;
  const { store, text: shown } = await openLocation(folder + query);
  const { size, etag } = await store.head(name);
  const ifMatch = etag === "" ? undefined : etag;
  return {
    text: `${shown}/${name}`,
    name,
    size,
    async read(offset, length) {
      const { body } = await store.get(name, { offset, length, ifMatch });
      return new Uint8Array(await new Response(body).arrayBuffer());
    },
    async *chunks() {
      yield* (await store.get(name, { ifMatch })).body;
    },
    close: async () => await store.close?.(),
  };
}

/** Whether a text is a URL of something that is not a file of this machine. */
export function isRemote(text: string): boolean {
  const scheme = schemeOf(text);
  return scheme !== undefined && scheme !== "file";
}

/** The path that a path or `file://` URL names. */
export function toPath(text: string): string {
  const scheme = schemeOf(text);
  if (scheme === undefined) return resolve(text);
  if (scheme !== "file") {
    throw usageError(`${scheme}:// is no file of this machine: a path or file:// URL is needed`);
  }
  try {
    return fileURLToPath(text);
  } catch {
    throw usageError(
      `${text} is no file URL of this machine`,
      "file:///absolute/path, with three slashes",
    );
  }
}

/** Whether anything is at a path. */
export function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** The failure to find what was named. */
export function missing(verb: string, text: string): CommandError {
  const what = verb === "verify" ? "file or directory" : "file";
  return new CommandError(`Cannot ${verb} ${text}: there is no such ${what}`, {
    code: "NOT_FOUND",
    exitCode: EXIT.failure,
  });
}

function schemeOf(text: string): string | undefined {
  return /^([A-Za-z][A-Za-z0-9+.-]+):\/\//.exec(text)?.[1]?.toLowerCase();
}

/** A URL without user info and query, which may hold passwords and keys. */
function withoutSecrets(text: string): string {
  if (!isRemote(text)) return text;
  return text.replace(/[?#].*$/s, "").replace(/^(\w+:\/\/)[^/]*@/, "$1");
}
