/**
 * The connection to a NATS server and the bucket on it: made at the first call, and anew after it was lost.
 *
 * @module
 */
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { Authenticator, ConnectionOptions, MsgHdrs, NatsConnection } from "@nats-io/nats-core";
import { ClosedError, InvalidArgumentError, UnsupportedError } from "../core/errors.ts";
import type { BodyContext } from "./body.ts";
import { natsError } from "./nats-errors.ts";
import { type BucketNames, bucketNames } from "./nats-object.ts";
import {
  checkOptions,
  describePlace,
  type NatsConnectOptions,
  type NatsStoreOptions,
} from "./nats-options.ts";

/** A bucket that answers. */
export interface NatsBucket {
  readonly name: string;
  readonly names: BucketNames;
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  /** Largest chunk in bytes that this server takes. */
  readonly chunkSize: number;
  /** How long the server may be silent. */
  readonly timeoutMs: number;
  /** What a failure of the libraries means; one that speaks of silence puts the connection in doubt. */
  failure(error: unknown, context: CallContext): Error;
  /** Waits for an answer; a failure becomes an error of this library. */
  ask<T>(context: CallContext, answer: Promise<T>): Promise<T>;
  /** A name that nobody else gives. */
  newId(): string;
  /** Headers for a message, none yet. */
  newHeaders(): MsgHdrs;
}

/** What is asked for, for messages. */
export type CallContext = Pick<BodyContext, "operation" | "object">;

/** Default of `timeoutMs`, as in Litestream. */
const TIMEOUT_MS = 10_000;

/** How long a connection that is in doubt may take to answer. */
const PING_MS = 2000;

/** As Go clients cut objects. */
const CHUNK_SIZE = 128 * 1024;

/** One connection for all calls of a store. */
export class NatsLink {
  /** Where this is, without secrets. */
  readonly description: string;
  readonly #options: NatsStoreOptions;
  #bucket: Promise<NatsBucket> | undefined;
  #closed = false;

  /** Checks the options; connects to nothing yet. */
  constructor(options: NatsStoreOptions) {
    checkOptions(options);
    this.#options = options;
    this.description = describePlace(options);
  }

  /** The bucket, over a connection that is not known to be lost. */
  async open(operation: string, object: string): Promise<NatsBucket> {
    if (this.#closed) {
      throw new ClosedError({ operation, object, what: "the store was closed" });
    }
    let opening = this.#bucket;
    if (opening === undefined) {
      opening = this.#bucket = this.#open();
      const forget = (): void => {
        if (this.#bucket === opening) this.#bucket = undefined;
      };
      opening.then(({ nc }) => nc.closed().then(forget), forget);
    }
    try {
      return await opening;
    } catch (error) {
      throw natsError(error, { operation, object, bucket: this.#options.bucket });
    }
  }

  #failure(nc: NatsConnection, error: unknown, context: CallContext): Error {
    const { bucket, connection } = this.#options;
    const silent = error instanceof Error && error.name === "TimeoutError";
    if (silent && connection === undefined) void giveUpIfDead(nc);
    return natsError(error, { ...context, bucket });
  }

  /** Closes the connection, unless it is the caller's. */
  async close(): Promise<void> {
    this.#closed = true;
    const opening = this.#bucket;
    if (opening === undefined || this.#options.connection !== undefined) return;
    await opening.then(
      ({ nc }) => nc.close(),
      () => undefined,
    );
  }

  async #open(): Promise<NatsBucket> {
    const { bucket, connection, timeoutMs = TIMEOUT_MS, chunkSize = CHUNK_SIZE } = this.#options;
    const [core, jetstream] = await importLibraries(bucket);
    // The library's own, whose other members its other functions use.
    const given = connection as NatsConnection | undefined;
    const nc = given ?? (await dial(() => connect(core, this.#options, timeoutMs)));
    try {
      const js = jetstream.jetstream(nc, { timeout: timeoutMs });
      const jsm = await jetstream.jetstreamManager(nc, { timeout: timeoutMs, checkAPI: false });
      const names = bucketNames(bucket);
      if (this.#options.createBucket === true) await createBucket(jsm, names);
      else await jsm.streams.info(names.stream);
      const largest = Math.min(chunkSize, nc.info?.max_payload ?? chunkSize);
      const failure: NatsBucket["failure"] = (error, context) => this.#failure(nc, error, context);
      return {
        name: bucket,
        names,
        nc,
        js,
        jsm,
        chunkSize: largest,
        timeoutMs,
        failure,
        ask: (context, answer) =>
          answer.catch((error: unknown) => {
            throw failure(error, context);
          }),
        newId: () => core.nuid.next(),
        newHeaders: () => core.headers(),
      };
    } catch (error) {
      if (connection === undefined) await nc.close().catch(() => undefined);
      throw error;
    }
  }
}

/** Closes a connection that does not answer at all: the next call makes a new one instead of waiting for a dead network. */
async function giveUpIfDead(nc: NatsConnection): Promise<void> {
  const silent = setTimeout(() => void nc.close().catch(() => undefined), PING_MS);
  await nc.flush().catch(() => undefined);
  clearTimeout(silent);
}

type Core = typeof import("@nats-io/nats-core");
type JetStream = typeof import("@nats-io/jetstream");

async function importLibraries(bucket: string): Promise<[Core, JetStream]> {
  try {
    return await Promise.all([import("@nats-io/nats-core"), import("@nats-io/jetstream")]);
  } catch (error) {
    throw new UnsupportedError({
      operation: "open",
      object: `the bucket ${bucket}`,
      what: "the NATS libraries are not installed",
      next: "Install @nats-io/nats-core and @nats-io/jetstream",
      cause: error,
    });
  }
}

let dialing: Promise<unknown> = Promise.resolve();

/**
 * One connection is made at a time: the library keeps the transport of the latest `connect` in a variable that all
 * share, WebSocket and TCP alike. For the same reason no connection of ours reconnects by itself.
 */
function dial(make: () => Promise<NatsConnection>): Promise<NatsConnection> {
  const made = dialing.then(make);
  dialing = made.catch(() => undefined);
  return made;
}

function connect(
  core: Core,
  options: NatsStoreOptions,
  timeoutMs: number,
): Promise<NatsConnection> {
  const { servers = [], tls, connect: dialer } = options;
  const settings: ConnectionOptions = {
    servers: typeof servers === "string" ? servers : [...servers],
    name: "pagestream",
    timeout: timeoutMs,
    reconnect: false,
    ...credentials(core, options),
    ...(tls === undefined ? {} : { tls }),
  };
  if (dialer === undefined) return core.wsconnect(settings);
  return dialer(settings as NatsConnectOptions) as Promise<NatsConnection>;
}

/** The first that is given counts, in Litestream's order. */
function credentials(core: Core, options: NatsStoreOptions): ConnectionOptions {
  try {
    const authenticator = authenticatorOf(core, options);
    // It reads them when it is asked; any challenge will do.
    authenticator?.("nonce");
    return authenticator === undefined ? {} : { authenticator };
  } catch {
    // The library's own message may quote what it was given.
    throw new InvalidArgumentError({
      operation: "use",
      object: "the credentials of a NATS store",
      what: "they cannot be read",
      next: "Give the text of a .creds file, or a seed that begins with SU",
    });
  }
}

function authenticatorOf(core: Core, options: NatsStoreOptions): Authenticator | undefined {
  const { jwt, seed, creds, user, password, token } = options;
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  if (jwt !== undefined && seed !== undefined) {
    return core.jwtAuthenticator(jwt.trim(), bytes(seed.trim()));
  }
  // The library wants a line's end after the last line.
  if (creds !== undefined) return core.credsAuthenticator(bytes(`${creds.trim()}\n`));
  if (seed !== undefined) return core.nkeyAuthenticator(bytes(seed.trim()));
  if (user !== undefined) return core.usernamePasswordAuthenticator(user, password);
  return token === undefined ? undefined : core.tokenAuthenticator(token);
}

/** As `nats object add` makes it: on disk, one copy. */
async function createBucket(jsm: JetStreamManager, names: BucketNames): Promise<void> {
  await jsm.streams.add({
    name: names.stream,
    subjects: [names.chunks(">"), names.allMeta],
    discard: "new",
    storage: "file",
    allow_rollup_hdrs: true,
    allow_direct: true,
  });
}
