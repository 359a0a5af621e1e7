/**
 * From pages in ascending order to a sink in large runs.
 *
 * @module
 */
import { setJournalHeader } from "../core/database-header.ts";
import type { RestoreSink } from "./restore-sink.ts";

/** What every SQLite database begins with. */
const MAGIC = Uint8Array.from("SQLite format 3\0", (c) => c.charCodeAt(0));

/** Bytes of a run: a multiple of every page size. */
const RUN_BYTES = 2 * 1024 * 1024;

/** Collects pages into runs. While the sink writes one run the next is filled: two buffers, whatever the size. */
export class RestoreOutput {
  readonly #sink: RestoreSink;
  #run: Uint8Array;
  #other: Uint8Array;
  #filled = 0;
  #offset = 0;
  readonly #journalHeader: RestoreSink["journalHeader"];
  #writing: Promise<void> | undefined;

  /**
   * @param options the size of the whole database in bytes, a multiple of the page size and not 0, and what becomes of the
   * two journal mode bytes of page 1.
   */
  constructor(
    sink: RestoreSink,
    options: { readonly size: number; readonly journalHeader: RestoreSink["journalHeader"] },
  ) {
    const { size } = options;
    const capacity = Math.min(RUN_BYTES, size);
    this.#sink = sink;
    this.#journalHeader = options.journalHeader;
    this.#run = new Uint8Array(capacity);
    this.#other = size > capacity ? new Uint8Array(capacity) : this.#run;
  }

  /** Appends a copy of a page. Where a promise comes back, wait for it before the next call. */
  append(page: Uint8Array): Promise<void> | undefined {
    this.#run.set(page, this.#filled);
    if (this.#offset === 0 && this.#filled === 0) this.#setJournalHeader();
    this.#filled += page.length;
    return this.#filled === this.#run.length ? this.#flush() : undefined;
  }

  /** Writes what is left and waits until the sink has everything. */
  async end(): Promise<void> {
    await this.#flush();
    await this.#writing;
  }

  /** Waits for a write under way, whatever comes of it. */
  async settle(): Promise<void> {
    await this.#writing?.catch(() => undefined);
  }

  /** In page 1, which has just been put into the run. */
  #setJournalHeader(): void {
    if (this.#journalHeader === "keep" || MAGIC.some((byte, i) => this.#run[i] !== byte)) return;
    setJournalHeader(this.#run, "rollback");
  }

  /** Starts to write the run; first waits for the one before, whose buffer is then free. */
  #flush(): Promise<void> | undefined {
    if (this.#filled === 0) return undefined;
    if (this.#writing !== undefined) return this.#writing.then(() => this.#write());
    this.#write();
    return undefined;
  }

  #write(): void {
    const run = this.#run;
    const written = this.#sink.write(this.#offset, run.subarray(0, this.#filled));
    this.#offset += this.#filled;
    this.#filled = 0;
    this.#writing = written ?? undefined;
    if (written === undefined) return;
    // Whoever waits next throws it; until then it must not count as unhandled.
    written.catch(() => undefined);
    this.#run = this.#other;
    this.#other = run;
  }
}
