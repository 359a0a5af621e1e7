/**
 * The connection to an SFTP server: made at the first call, and anew at the first call after it was lost.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { ClosedError, InvalidArgumentError, StoreError, UnsupportedError } from "pagestream";
import type { Client, ConnectConfig, SFTPWrapper } from "ssh2";
import { readHostKeys } from "./sftp-host-key.ts";
import type { SftpStoreOptions } from "./sftp-options.ts";

/** What is done, for messages. */
export interface SftpContext {
  readonly operation: string;
  readonly object: string;
}

/** Status codes of SFTP that mean something here. */
export const SFTP_STATUS = {
  eof: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  unsupported: 8,
} as const;

/** Bytes that every server takes and gives in one request. */
export const TRANSFER_SIZE: number = 32 * 1024;

/** 2 MiB, so that a long way does not make a transfer slow. */
const IN_FLIGHT = 64;

const CONNECT_TIMEOUT_MS = 30_000;
const TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 60_000;

/** Makes a request and has the answer called back. */
export type SftpRequest<T> = (
  sftp: SFTPWrapper,
  done: (error: Error | null | undefined, value: T) => void,
) => void;

/** A session that answers. */
export class SftpSession {
  readonly #client: Client;
  readonly #sftp: SFTPWrapper;
  readonly #timeoutMs: number;
  /** Whether the server can be asked to put a file on stable storage. */
  readonly canSync: boolean;
  /** Requests that read or write one file may be under way at once. */
  readonly inFlight: number;
  #lost = false;

  /** Takes a session over. */
  constructor(client: Client, sftp: SFTPWrapper, options: SftpStoreOptions) {
    this.#client = client;
    this.#sftp = sftp;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    const lost = (): void => {
      this.#lost = true;
    };
    client.on("close", lost);
    // What is under way fails by itself.
    client.on("error", lost);
    sftp.on("close", lost);
    sftp.on("error", lost);
    this.canSync = offersSync(sftp);
    this.inFlight = (options.concurrent ?? this.canSync) ? IN_FLIGHT : 1;
  }

  /** Whether the connection is gone. */
  get lost(): boolean {
    return this.#lost;
  }

  /**
   * Makes one request. A refusal is thrown as the library tells it, with its status as `code`; see {@linkcode statusOf}. Without an
   * answer in time the connection is given up.
   */
  ask<T>(request: SftpRequest<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#lost) {
        reject(new Error("the connection is lost"));
        return;
      }
      const timer = setTimeout(() => {
        this.end();
        reject(new Error("no answer"));
      }, this.#timeoutMs);
      const done = (error: Error | null | undefined, value: T): void => {
        clearTimeout(timer);
        if (error) reject(error);
        else resolve(value);
      };
      try {
        request(this.#sftp, done);
      } catch (error) {
        // An extension that the server does not have.
        clearTimeout(timer);
        reject(Object.assign(error as Error, { code: SFTP_STATUS.unsupported }));
      }
    });
  }

  /** Closes the connection; what is under way fails. */
  end(): void {
    this.#lost = true;
    this.#client.destroy();
  }
}

/** The library tells of an extension only when it is used; what comes back for no handle does not matter. */
function offersSync(sftp: SFTPWrapper): boolean {
  try {
    sftp.ext_openssh_fsync(Buffer.alloc(0), () => undefined);
    return true;
  } catch {
    return false;
  }
}

/** The status that a server refused with; `undefined` for every other failure. */
export function statusOf(error: unknown): number | undefined {
  const code = error instanceof Error ? (error as { readonly code?: unknown }).code : undefined;
  return typeof code === "number" ? code : undefined;
}

/** What a store throws for a failed request. */
export function sftpError(error: unknown, { operation, object }: SftpContext): StoreError {
  const status = statusOf(error);
  if (status === undefined) {
    const what = "the connection was lost, or the server did not answer in time";
    return new StoreError({ operation, object, what }, { retryable: true });
  }
  if (status === SFTP_STATUS.permissionDenied) {
    const next = "Give this user read and write permission on the directory";
    return new StoreError({ operation, object, what: "the server denied permission", next });
  }
  return new StoreError({
    operation,
    object,
    what: `the server refused: ${(error as Error).message} (status ${status})`,
    next: status === SFTP_STATUS.failure ? "Check the space on its disk and its log" : undefined,
  });
}

/** One connection for all calls of a store. */
export class SftpLink {
  readonly #options: SftpStoreOptions;
  #session: Promise<SftpSession> | undefined;
  #closed = false;

  /** Connects to nothing yet. */
  constructor(options: SftpStoreOptions) {
    this.#options = options;
  }

  /** A session that is not known to be lost. */
  async open({ operation, object }: SftpContext): Promise<SftpSession> {
    if (this.#closed) {
      throw new ClosedError({ operation, object, what: "the store was closed" });
    }
    const current = this.#session;
    const session = await current?.catch(() => undefined);
    if (session?.lost === false) return session;
    // Whoever comes first makes the new one.
    if (this.#session === current) this.#session = connect(this.#options);
    return await (this.#session as Promise<SftpSession>);
  }

  /** Closes the connection. */
  async close(): Promise<void> {
    this.#closed = true;
    const session = await this.#session?.catch(() => undefined);
    session?.end();
  }
}

async function connect(options: SftpStoreOptions): Promise<SftpSession> {
  const { host, port = 22, user, password, agent } = options;
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS } = options;
  const { Client: SshClient, utils } = await importSsh2(host);
  const keys = await readHostKeys(options.hostKey, { host, port });
  const privateKey = await readKey(utils, options);
  const client = new SshClient();
  let denied: StoreError | undefined;
  const settings = {
    host,
    port,
    username: user,
    ...(password === undefined ? {} : { password }),
    ...(privateKey === undefined ? {} : { privateKey }),
    ...(options.passphrase === undefined ? {} : { passphrase: options.passphrase }),
    ...(agent === undefined ? {} : { agent }),
    algorithms: { serverHostKey: keys.algorithms },
    hostVerifier: (key: Buffer) => (denied = keys.check(key)) === undefined,
    keepaliveInterval: KEEP_ALIVE_MS,
    // The timer below covers all steps.
    readyTimeout: 0,
  } as ConnectConfig;
  const place = { operation: "connect to", object: `${host}:${port}` };
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<SftpSession>((resolve, reject) => {
      timer = setTimeout(() => {
        const what = `there was no session within ${Math.ceil(connectTimeoutMs / 1000)} s`;
        reject(new StoreError({ ...place, what }, { retryable: true }));
      }, connectTimeoutMs);
      client.on("error", (error) => reject(denied ?? connectError(error, place)));
      client.on("close", () => reject(denied ?? sftpError(undefined, place)));
      client.on("ready", () => {
        // Without it each small write waits for an acknowledgement: 170 ms instead of 0.3 ms.
        client.setNoDelay(true);
        client.sftp((error, sftp) => {
          if (error === undefined) resolve(new SftpSession(client, sftp, options));
          else reject(noSubsystem(place));
        });
      });
      client.connect(settings);
    });
  } catch (error) {
    client.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

type Ssh2 = typeof import("ssh2");

async function importSsh2(host: string): Promise<Ssh2> {
  try {
    return (await import("ssh2")).default;
  } catch (error) {
    throw new UnsupportedError({
      operation: "connect to",
      object: host,
      what: "the library ssh2 is not installed",
      next: "Install ssh2",
      cause: error,
    });
  }
}

/** The text of the private key; checked here, where what is wrong with it can be told. */
async function readKey(
  utils: Ssh2["utils"],
  { key, passphrase }: SftpStoreOptions,
): Promise<string | undefined> {
  if (key === undefined) return undefined;
  const isText = /PRIVATE KEY|^PuTTY-User-Key-File/.test(key);
  const object = isText ? "the private key" : `the private key ${key}`;
  const refuse = (what: string, next: string): never => {
    throw new InvalidArgumentError({ operation: "use", object, what, next });
  };
  const text = isText
    ? key
    : await readFile(key, "utf8").catch(() =>
        refuse(
          "there is no such file that can be read",
          "Give the text of a key or the path of its file",
        ),
      );
  if (utils.parseKey(text, passphrase) instanceof Error) {
    refuse("it cannot be read", "Check its format, and the passphrase where it has one");
  }
  return text;
}

function noSubsystem(place: SftpContext): StoreError {
  return new StoreError({
    ...place,
    what: "the server lets this user in, but has no SFTP for it",
    next: "Enable the subsystem sftp on the server",
  });
}

/** By the step that failed; the library's messages hold no secrets, but names of its own. */
function connectError(
  error: Error & { readonly level?: string; readonly code?: string },
  place: SftpContext,
): StoreError {
  const { level, code } = error;
  if (level === "client-authentication" || level === "agent") {
    return new StoreError({
      ...place,
      what: "the server refused the user, password or key",
      next: "Check them, and that the server takes this way to authenticate",
    });
  }
  if (level === "handshake" || level === "protocol") {
    const what = `the server speaks SSH in another way: ${error.message}`;
    return new StoreError({ ...place, what });
  }
  const what = `the server cannot be reached (${code ?? "no answer"})`;
  const next = "Check host, port and network";
  return new StoreError({ ...place, what, next }, { retryable: true });
}
