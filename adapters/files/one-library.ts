/**
 * One SQLite library per file and process.
 *
 * The kernel drops all locks of a process on a file as soon as that process closes any descriptor of it. A library
 * therefore keeps its descriptors until none of its connections needs them, and knows nothing of another library's: two
 * of them take each other's locks away, and commits are lost.
 *
 * @module
 */
import * as fs from "node:fs";
import process from "node:process";
import type { FileIdentity } from "pagestream";
import { SecondLibraryError } from "./errors.ts";
import { identity, isSameFile, toIdentity } from "./file-identity.ts";
import { libraryOf, type NativeHandle } from "./native-handle.ts";

/** A file that is followed here, and through which library. */
interface Claim {
  readonly file: FileIdentity | undefined;
  readonly path: string;
  readonly name: string;
  /** Two copies of one package are two libraries; a runtime's own exists once. */
  readonly library: object | undefined;
}

const claims = new Set<Claim>();

/**
 * Notes that the file at `path` is followed through the library `name`, that of `handle` where there is one. Throws
 * `SecondLibraryError` where this process has it open through another. Returns what ends it.
 */
export function claimLibrary(
  path: string,
  name: string,
  handle: NativeHandle | undefined,
): () => void {
  const file = identity(path);
  const library = handle === undefined ? undefined : libraryOf(handle);
  for (const other of claims) {
    if (other.path !== path && !isSameFile(other.file, file)) continue;
    const differs =
      library !== undefined && other.library !== undefined && library !== other.library;
    if (name === other.name && !differs) continue;
    throw secondLibrary(path, `it is followed through ${other.name} in this process already`);
  }
  const foreign = handle === undefined ? foreignLibrary(file) : undefined;
  if (foreign !== undefined) {
    throw secondLibrary(path, `this process has it open, and has loaded ${foreign}`);
  }
  const claim = { file, path, name, library };
  claims.add(claim);
  return () => void claims.delete(claim);
}

function secondLibrary(object: string, what: string): SecondLibraryError {
  return new SecondLibraryError({
    operation: "replicate",
    object,
    what: `${what}, and a second SQLite library would drop its locks`,
    next: "Give replicate the handle that the application writes through, or run `pagestream replicate` as a process of its own",
  });
}

/**
 * An extension module with a SQLite of its own, where a file is open in this process already: by whom, nobody can tell.
 * Linux tells as much; elsewhere `undefined`.
 */
function foreignLibrary(file: FileIdentity | undefined): string | undefined {
  if (file === undefined || process.platform !== "linux") return undefined;
  try {
    if (!fs.readdirSync("/proc/self/fd").some((fd) => isSameFile(file, identityOf(Number(fd))))) {
      return undefined;
    }
    const maps = fs.readFileSync("/proc/self/maps", "latin1");
    return /\/([^/\n]*sqlite[^\n]*\.node)$/im.exec(maps)?.[1];
  } catch {
    // Without procfs, or Deno's permission for it.
    return undefined;
  }
}

function identityOf(fd: number): FileIdentity | undefined {
  try {
    return toIdentity(fs.fstatSync(fd, { bigint: true }));
  } catch {
    return undefined;
  }
}
