/**
 * One writer per origin: of all tabs and workers one has the database, and gives it up when another one asks.
 *
 * The right to write is a Web Lock, which ends with its tab or worker whatever happens to it, and which is never taken from
 * one that lives: the other side flushes, closes its database and lets go.
 *
 * @module
 */
import { AbortedError, TimeoutError, UnsupportedError } from "../core/errors.ts";
import { DatabaseLockedError } from "../vfs/errors.ts";

/** Options of {@linkcode holdWriter}. */
export interface HoldWriterOptions {
  /**
   * Closes the database, when another tab asks for it: once this has resolved the other one has the right to write. What it
   * throws is told to the other, and nothing is handed over. Without it others wait for `release`, or for the end of this tab.
   */
  readonly handOver?: (() => void | Promise<void>) | undefined;
  /** Ask who has it to hand it over, instead of only waiting. @default true */
  readonly ask?: boolean | undefined;
  /** Ends the wait with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** The right to write. It also ends with the tab or worker. */
export interface WriterHold extends AsyncDisposable {
  /** Resolves when it has ended: released, or handed over. */
  readonly ended: Promise<void>;
  /** Answers {@linkcode callWriter} of other tabs as long as the hold lasts. What `answer` throws rejects their call. */
  serve(answer: (message: unknown) => unknown): void;
  /** Gives it up. The database must be closed before. Calling it again does nothing. */
  release(): Promise<void>;
}

/** Options of {@linkcode callWriter}. */
export interface CallWriterOptions {
  /** How long to wait for an answer, in milliseconds. @default 10000 */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait with `AbortedError`; the writer may answer all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** What tabs post to each other. Not every tab hears every message: one that waits repeats what it asks. */
type Message =
  | { readonly type: "ask"; readonly id: string }
  | { readonly type: "refused"; readonly id: string; readonly why: string }
  | { readonly type: "call"; readonly id: string; readonly message: unknown }
  | { readonly type: "answer"; readonly id: string; readonly result: unknown }
  | { readonly type: "failure"; readonly id: string; readonly error: unknown };

/** How often one that waits asks. */
const ASK_MS = 500;

/** How long a call waits for its answer. */
const CALL_MS = 10_000;

/**
 * Waits until this tab or worker may write the database `name`, and asks the one that may now to hand it over.
 *
 * @example
 * ```ts ignore
 * const hold = await holdWriter("notes", { handOver: () => app.close() });
 * const app = await openReplicated({ sqlite3, files: opfsFiles(pool), path: "/notes.db", replica });
 * await hold.ended; // another tab has it now
 * ```
 */
export async function holdWriter(
  name: string,
  options: HoldWriterOptions = {},
): Promise<WriterHold> {
  const { ask = true, handOver, signal } = options;
  const id = crypto.randomUUID();
  const channel = open(name);
  const given = new AbortController();
  const stop = (): void => given.abort();
  signal?.addEventListener("abort", stop, { once: true });
  let refusal: string | undefined;
  channel.onmessage = ({ data }: MessageEvent<Message>) => {
    if (data.type !== "refused" || data.id !== id) return;
    refusal = data.why;
    stop();
  };
  const question: Message = { type: "ask", id };
  let asking: ReturnType<typeof setInterval> | undefined;
  try {
    if (signal?.aborted === true) stop();
    const taken = take(name, given.signal);
    if (ask) {
      channel.postMessage(question);
      asking = setInterval(() => channel.postMessage(question), ASK_MS);
    }
    return new Hold(channel, await taken, handOver);
  } catch (error) {
    channel.close();
    const work = { operation: "write", object: name };
    if (refusal !== undefined) {
      const what = `the tab that has it could not hand it over: ${refusal}`;
      throw new DatabaseLockedError({ ...work, what, next: "Try again, or close that tab" });
    }
    if (signal?.aborted !== true) throw error;
    throw new AbortedError({ ...work, what: "the wait was ended", cause: signal.reason });
  } finally {
    clearInterval(asking);
    signal?.removeEventListener("abort", stop);
  }
}

/** A lock that is held until `release` is called, and has gone once `gone` resolves. */
interface Taken {
  readonly release: () => void;
  readonly gone: Promise<void>;
}

async function take(name: string, signal: AbortSignal): Promise<Taken> {
  return await new Promise<Taken>((resolve, reject) => {
    const gone: Promise<void> = navigator.locks
      .request(`pagestream-writer:${name}`, { signal }, () => {
        return new Promise<void>((release) => resolve({ release, gone: gone.catch(() => {}) }));
      })
      .then(() => {});
    gone.catch(reject);
  });
}

class Hold implements WriterHold {
  readonly ended: Promise<void>;
  readonly #channel: BroadcastChannel;
  readonly #taken: Taken;
  readonly #handOver: HoldWriterOptions["handOver"];
  #answer: ((message: unknown) => unknown) | undefined;
  #isHandingOver = false;

  constructor(channel: BroadcastChannel, taken: Taken, handOver: HoldWriterOptions["handOver"]) {
    this.#channel = channel;
    this.#taken = taken;
    this.#handOver = handOver;
    this.ended = taken.gone;
    channel.onmessage = ({ data }: MessageEvent<Message>) => {
      if (data.type === "ask") void this.#give(data.id);
      else if (data.type === "call") void this.#reply(data.id, data.message);
    };
  }

  serve(answer: (message: unknown) => unknown): void {
    this.#answer = answer;
  }

  async release(): Promise<void> {
    this.#channel.close();
    this.#taken.release();
    await this.ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #give(id: string): Promise<void> {
    if (this.#handOver === undefined || this.#isHandingOver) return;
    this.#isHandingOver = true;
    try {
      await this.#handOver();
    } catch (error) {
      this.#post({ type: "refused", id, why: error instanceof Error ? error.message : "" });
      return;
    } finally {
      this.#isHandingOver = false;
    }
    await this.release();
  }

  async #reply(id: string, message: unknown): Promise<void> {
    const answer = this.#answer;
    if (answer === undefined) return;
    try {
      this.#post({ type: "answer", id, result: await answer(message) });
    } catch (error) {
      // A copy of the application's own error, where it can be copied.
      const copied = error instanceof Error ? error : new Error(String(error));
      this.#post({ type: "failure", id, error: copied });
    }
  }

  #post(message: Message): void {
    this.#channel.postMessage(message);
  }
}

/**
 * Sends a message to the tab or worker that may write `name`, and resolves with its answer (see {@linkcode WriterHold.serve}):
 * how tabs that do not have the database read it, or let it be written. Messages and answers are what `postMessage` copies.
 * Rejects with a copy of what the writer threw, and with `TimeoutError` where nobody answers: there is no writer, or it is
 * handing over.
 *
 * @example
 * ```ts ignore
 * hold.serve(({ title }) => app.db.selectObjects("SELECT * FROM note WHERE title = ?", [title]));
 * const notes = await callWriter("notes", { title: "Groceries" }); // in another tab
 * ```
 */
export async function callWriter(
  name: string,
  message: unknown,
  options: CallWriterOptions = {},
): Promise<unknown> {
  const { timeoutMs = CALL_MS, signal } = options;
  const work = { operation: "ask the writer of", object: name };
  const id = crypto.randomUUID();
  const channel = open(name);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort: (() => void) | undefined;
  try {
    return await new Promise((resolve, reject) => {
      onAbort = () =>
        reject(new AbortedError({ ...work, what: "the wait was ended", cause: signal?.reason }));
      if (signal?.aborted === true) return onAbort();
      signal?.addEventListener("abort", onAbort);
      timer = setTimeout(() => {
        const what = `nobody answered within ${timeoutMs} ms`;
        reject(new TimeoutError({ ...work, what, next: "Ask again, or hold the database here" }));
      }, timeoutMs);
      channel.onmessage = ({ data }: MessageEvent<Message>) => {
        if (data.id !== id) return;
        if (data.type === "answer") resolve(data.result);
        else if (data.type === "failure") reject(data.error as Error);
      };
      const call: Message = { type: "call", id, message };
      channel.postMessage(call);
    });
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
    channel.close();
  }
}

function open(name: string): BroadcastChannel {
  if (globalThis.navigator?.locks !== undefined) {
    return new BroadcastChannel(`pagestream-writer:${name}`);
  }
  throw new UnsupportedError({
    operation: "write",
    object: name,
    what: "there are no Web Locks here",
    next: "Serve the page over HTTPS",
  });
}
