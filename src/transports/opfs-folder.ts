/**
 * Folders of the browser's own file system, and what its errors mean.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";
import { NotFoundError, StoreError } from "./errors.ts";
import { type FolderEntry, TEMP_NAME } from "./tree-walk.ts";

/** What is done, for messages. */
export interface OpfsCall {
  readonly operation: string;
  readonly object: string;
}

/** A member of a folder. */
export type OpfsEntry = FolderEntry;

/** A folder by its path, made on request; `undefined` where it is missing, or a file is in its place. */
export async function openFolder(
  call: OpfsCall,
  root: FileSystemDirectoryHandle,
  place: { readonly path: string; readonly create: boolean },
): Promise<FileSystemDirectoryHandle | undefined> {
  const { path, create } = place;
  let folder = root;
  try {
    for (const name of path === "" ? [] : path.split("/")) {
      folder = await folder.getDirectoryHandle(name, { create });
    }
    return folder;
  } catch (error) {
    const { name } = error as DOMException;
    if (!create && (name === "NotFoundError" || name === "TypeMismatchError")) return undefined;
    throw fileError(error, call);
  }
}

/** The members of a folder; none where it is missing. */
export async function opfsEntries(
  call: OpfsCall,
  root: FileSystemDirectoryHandle,
  path: string,
): Promise<OpfsEntry[]> {
  const folder = await openFolder(call, root, { path, create: false });
  const entries: OpfsEntry[] = [];
  if (folder === undefined) return entries;
  try {
    for await (const [name, { kind }] of folder.entries()) {
      if (temporaryName(name) !== undefined) continue;
      entries.push({ name, folder: kind === "directory" });
    }
    return entries;
  } catch (error) {
    throw fileError(error, call);
  }
}

/** The temporary name that a file has, or that Chromium has a swap file for; `undefined` for any other file. */
export function temporaryName(name: string): string | undefined {
  const plain = name.replace(/\.crswap$/, "");
  return TEMP_NAME.test(plain) ? plain : undefined;
}

/** What may pass: a file that another handle is writing, or that was replaced while it was read. */
const PASSING: readonly string[] = [
  "InvalidStateError",
  "NoModificationAllowedError",
  "NotReadableError",
];

const NEXT_STEP: Readonly<Record<string, string>> = {
  NotAllowedError: "Ask the user for permission to the folder",
  QuotaExceededError: "Free space, or ask for persistent storage with navigator.storage.persist()",
  SecurityError: "Serve the page over HTTPS, outside of a sandbox",
  TypeMismatchError: "Move the folder, or the file, of that name away",
};

/** A failed call as an error of this library; those of this library pass unchanged. */
export function fileError(error: unknown, { operation, object }: OpfsCall): Error {
  if (isPagestreamError(error)) return error;
  const { name, message } = error as DOMException;
  if (name === "NotFoundError") {
    return new NotFoundError({ operation, object, what: "there is no such file", cause: error });
  }
  return new StoreError(
    { operation, object, what: message, next: NEXT_STEP[name], cause: error },
    { retryable: PASSING.includes(name) },
  );
}
