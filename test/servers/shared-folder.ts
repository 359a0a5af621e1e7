/**
 * Folders for servers that give up root's rights when they start.
 *
 * @module
 */
import { chmodSync } from "node:fs";
import type { Scratch } from "./server.ts";

/** The user that Debian's web servers run as. Who starts them without being root, keeps his own. */
export const WEB_USER = "www-data";

/** Makes folders that such a server owns, and the way to them passable. */
export async function makeOwned(scratch: Scratch, names: readonly string[]): Promise<string[]> {
  chmodSync(scratch.folder, 0o711);
  const paths = names.map((name) => scratch.make(name));
  if (process.getuid?.() === 0) await scratch.run("chown", [`${WEB_USER}:`, ...paths]);
  return paths;
}
