/**
 * The options of an SFTP store.
 *
 * @module
 */
import { InvalidArgumentError } from "pagestream";

/** Options of `sftpStore`. A password is tried before a key, a key before an agent. */
export interface SftpStoreOptions {
  /** Name or address of the server. */
  readonly host: string;
  /** @default 22 */
  readonly port?: number | undefined;
  /** Who logs in. */
  readonly user: string;
  /** Password of the user. */
  readonly password?: string | undefined;
  /** Private key: its text, or the path of its file. */
  readonly key?: string | undefined;
  /** What the private key is encrypted with. */
  readonly passphrase?: string | undefined;
  /** Path of an agent's socket: `process.env.SSH_AUTH_SOCK`. */
  readonly agent?: string | undefined;
  /**
   * Keys that the server may have: lines of `authorized_keys` or `known_hosts`, or the path of such a file. Without it the connection is
   * refused with an error that tells the server's key; `"accept-any"` lets anybody answer who can divert the connection.
   */
  readonly hostKey?: string | readonly string[] | undefined;
  /** Directory of the replica: absolute, or relative to the login directory. @default the login directory */
  readonly path?: string | undefined;
  /**
   * Send and ask for the bytes of a file without waiting for each answer. A server that is a door to another store (rclone) takes them in order
   * alone, and may open the file anew, by its name, where it is read out of order. @default where the server can sync a file,
   * which such a door cannot
   */
  readonly concurrent?: boolean | undefined;
  /** Longest time until a session is there, in milliseconds. @default 30_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** Longest wait for an answer, in milliseconds. @default 30_000 */
  readonly timeoutMs?: number | undefined;
}

/** Where the store lies on the server. */
export interface SftpRoot {
  /** What a key is appended to: empty, or ending in a slash. */
  readonly prefix: string;
  /** For messages. */
  readonly description: string;
}

/** Where the store lies; refuses options that can never work. */
export function rootOf({ host, port = 22, user, path = "" }: SftpStoreOptions): SftpRoot {
  const refuse = (what: string, next: string): never => {
    throw new InvalidArgumentError({ operation: "make", object: "an SFTP store", what, next });
  };
  if (host === "" || /[\s/@]/.test(host)) {
    refuse(
      `${JSON.stringify(host)} is no name of a server`,
      "Give host, port and user each by itself",
    );
  }
  if (user === "") refuse("there is no user", "Set user");
  if (path.includes("\0")) refuse("the path holds a NUL", "Give the path of a directory");
  // `//`, `.` and slashes at the end collapse, as in Litestream.
  const segments = path.split("/").filter((segment) => segment !== "" && segment !== ".");
  const prefix = (path.startsWith("/") ? "/" : "") + segments.map((each) => `${each}/`).join("");
  const shown = path.startsWith("/") ? prefix : `/~/${prefix}`;
  const name = host.includes(":") ? `[${host}]` : host;
  return { prefix, description: `sftp://${name}:${port}${shown.replace(/\/$/, "")}` };
}
