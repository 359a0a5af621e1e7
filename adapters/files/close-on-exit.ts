/**
 * Closing replications when the process is asked to end.
 *
 * @module
 */
import { constants } from "node:os";
import process from "node:process";

/** What can be closed: a replication, a fleet, an open replicated database. */
export interface Closable {
  /** Closes it, within the deadline where there is one. */
  close(options?: { readonly deadlineMs?: number }): Promise<unknown>;
}

/** Options of {@linkcode closeOnExit}. */
export interface CloseOnExitOptions {
  /** Milliseconds that closing, with its last upload, may take. @default 10000 */
  readonly deadlineMs?: number | undefined;
  /** Told when closing fails. @default writes one line to standard error */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** `close` bounds its uploads by the deadline itself; past this much more, the process ends without it. */
const GRACE_MS = 1000;

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

interface Registration {
  readonly target: Closable;
  readonly deadlineMs: number;
  readonly onError: (error: unknown) => void;
}

/** All that is to be closed: several databases share one set of handlers, and one exit after the last is closed. */
const registrations = new Set<Registration>();
let closing: Promise<boolean> | undefined;
let signalled = false;

/**
 * Closes a replication on SIGINT, on SIGTERM, and when the event loop has nothing left to do. After a signal the
 * process exits with the conventional code (128 and the signal's number); a second signal exits at once. When the loop
 * has run dry and closing fails, the exit code is 1.
 *
 * Returns the function that takes this back; call it after closing by hand.
 *
 * @example
 * ```ts ignore
 * closeOnExit(replication, { deadlineMs: 10_000 });
 * ```
 */
export function closeOnExit(target: Closable, options: CloseOnExitOptions = {}): () => void {
  const registration: Registration = {
    target,
    deadlineMs: options.deadlineMs ?? 10_000,
    onError: options.onError ?? printError,
  };
  if (registrations.size === 0) {
    for (const signal of SIGNALS) process.on(signal, onSignal);
    process.on("beforeExit", onBeforeExit);
  }
  registrations.add(registration);
  return () => {
    if (!registrations.delete(registration) || registrations.size > 0) return;
    for (const signal of SIGNALS) process.off(signal, onSignal);
    process.off("beforeExit", onBeforeExit);
    closing = undefined;
  };
}

function onSignal(signal: NodeJS.Signals): void {
  const code = 128 + constants.signals[signal];
  if (signalled) process.exit(code);
  signalled = true;
  void closeAll().then(() => process.exit(code));
}

function onBeforeExit(): void {
  // Closing gives the loop work again, so this is called once more when it is done.
  if (closing !== undefined) return;
  void closeAll().then((allClosed) => {
    if (!allClosed) process.exitCode ??= 1;
  });
}

/** Closes everything, once; false when something failed. */
function closeAll(): Promise<boolean> {
  closing ??= Promise.all([...registrations].map(closeOne)).then(
    (results) => !results.includes(false),
  );
  return closing;
}

async function closeOne({ target, deadlineMs, onError }: Registration): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`Closing took longer than ${deadlineMs} ms`);
    timer = setTimeout(() => reject(error), deadlineMs + GRACE_MS);
  });
  try {
    await Promise.race([target.close({ deadlineMs }), late]);
    return true;
  } catch (error) {
    onError(error);
    return false;
  } finally {
    clearTimeout(timer);
  }
}

function printError(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
}
