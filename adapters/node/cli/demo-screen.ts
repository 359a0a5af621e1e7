/**
 * What the demonstration shows while it runs.
 *
 * @module
 */
import { formatBytes, formatCount, formatDuration, paint } from "./format.ts";
import type { Replication } from "pagestream";
import { formatTxid } from "pagestream/ltx";

const LIVE_MS = 100;
const LINES_MS = 2000;

/** Columns that the live line needs with all digits of its TXIDs. */
const WIDE = 120;

/** Steps, their results, and a line about replication that is rewritten ten times a second on a terminal. */
export class DemoScreen {
  readonly #out: NodeJS.WriteStream;
  readonly #isQuiet: boolean;
  #shownAt = performance.now();
  #isLineOpen = false;

  /** @param options.json leaves standard output alone; only the live line is shown, and only on a terminal. */
  constructor(options: { readonly json: boolean }) {
    this.#out = options.json ? process.stderr : process.stdout;
    this.#isQuiet = options.json;
  }

  /** Begins a step. */
  step(text: string): void {
    this.#write(`${paint("bold", text, this.#out)}\n`);
  }

  /** A result that was checked. */
  done(text: string): void {
    this.#write(`  ${paint("green", "✓", this.#out)} ${text}\n`);
  }

  /** A line that explains. */
  line(text: string): void {
    this.#write(`  ${text}\n`);
  }

  /** The last line. */
  finish(text: string): void {
    this.#write(`${paint("green", text, this.#out)}\n`);
  }

  /** How replication is doing; called as often as one likes. */
  live(replication: Replication, transactions: number): void {
    const isTerminal = this.#out.isTTY === true;
    if (this.#isQuiet && !isTerminal) return;
    const now = performance.now();
    if (now - this.#shownAt < (isTerminal ? LIVE_MS : LINES_MS)) return;
    this.#shownAt = now;
    const { position, stats } = replication;
    const columns = isTerminal ? this.#out.columns || 80 : WIDE;
    const txid = columns < WIDE ? (value: bigint) => value.toString(16) : formatTxid;
    const text =
      `  ${formatCount(transactions)} transactions  txid ${txid(position.local)}  ` +
      `replicated ${txid(position.replicated)}  lag ${formatDuration(stats.lagMs)}  ` +
      `${formatCount(stats.pages)} pages  ${formatBytes(stats.bytes)}`;
    if (!isTerminal) {
      this.#out.write(`${text}\n`);
      return;
    }
    // A line that wraps could not be rewritten.
    this.#out.write(`\r\u001b[K${text.slice(0, columns - 1)}`);
    this.#isLineOpen = true;
  }

  /** Ends the live line, if there is one. */
  endLine(): void {
    if (this.#isLineOpen) this.#out.write("\r\u001b[K");
    this.#isLineOpen = false;
  }

  #write(text: string): void {
    if (!this.#isQuiet) this.#out.write(text);
  }
}
