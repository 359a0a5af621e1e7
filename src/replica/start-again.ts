/**
 * Starts that do not give up on stores that are away.
 *
 * @module
 */
import type { ErrorCode } from "../core/errors.ts";
import type { Aborter, Platform } from "../core/platform.ts";
import { sleep } from "../core/retry.ts";
import { asPagestreamError } from "./event-reporter.ts";
import type { Primary } from "./primary.ts";

/** Pause before a start on a dead store is tried again; it doubles from failure to failure. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

/** Age of an attempt that is given up for a new one where somebody is in a hurry; it doubles, or none might ever end. */
const FIRST_PATIENCE_MS = 500;

/** Errors after which trying again would be wrong. */
const DECIDED_BY_A_PERSON: readonly ErrorCode[] = ["CONFLICT", "DATABASE_BEHIND"];

/** What is started. */
export interface StartingOptions {
  /** One attempt. */
  readonly start: (signal: AbortSignal) => Promise<void>;
  /** What the database is called. */
  readonly name: string;
  readonly platform: Platform;
}

/** The start of a primary, until it has started, or somebody has to decide, or it is ended. */
export class Starting {
  readonly #primary: Primary;
  readonly #options: StartingOptions;
  #attempt: Promise<void> | undefined;
  /** Of what goes on now, an attempt or the pause after one. */
  #current: Aborter | undefined;
  #begunAt = 0;
  #patienceMs = FIRST_PATIENCE_MS;
  #isPausing = false;
  #isEnded = false;

  /** Begins nothing. */
  constructor(primary: Primary, options: StartingOptions) {
    this.#primary = primary;
    this.#options = options;
  }

  /** Begins the first attempt, and rejects as it does. */
  attempt(): Promise<void> {
    const { platform, start } = this.#options;
    this.#current = platform.newAborter();
    this.#begunAt = platform.clock.monotonic();
    this.#attempt = start(this.#current.signal);
    return this.#attempt;
  }

  /** Goes on with that attempt, and with further ones; what fails is told by events of the primary. Never rejects. */
  async run(): Promise<void> {
    const { name, platform } = this.#options;
    const what = { platform, operation: "replicate to", object: name };
    for (let pause = FIRST_PAUSE_MS; !this.#isEnded;) {
      try {
        await (this.#attempt ?? this.attempt());
        this.#current = undefined;
        return;
      } catch (error) {
        this.#attempt = undefined;
        if (this.#isEnded) return;
        if (this.#current?.signal.aborted === true) continue;
        const wrapped = asPagestreamError(error, what.operation, what.object);
        const isOver = DECIDED_BY_A_PERSON.includes(wrapped.code);
        this.#primary.startFailed(wrapped, isOver);
        if (isOver) return;
      }
      this.#current = platform.newAborter();
      this.#isPausing = true;
      await sleep(pause, { ...what, signal: this.#current.signal }).catch(() => undefined);
      this.#isPausing = false;
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
  }

  /** Somebody wants uploads now: ends a pause, and an attempt that has gone on for long. */
  hurry(): void {
    const age = this.#options.platform.clock.monotonic() - this.#begunAt;
    if (!this.#isPausing && age < this.#patienceMs) return;
    if (!this.#isPausing) this.#patienceMs *= 2;
    this.#current?.abort("hurry");
  }

  /** Ends it. */
  end(): void {
    this.#isEnded = true;
    this.#current?.abort("end");
  }
}
