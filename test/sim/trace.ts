/**
 * What happened, in order: the story of a failed seed, and the proof that a seed replays exactly.
 *
 * @module
 */

/** The lines of one run. */
export class Trace {
  /** Each with its virtual time. */
  readonly lines: string[] = [];
  /** Of all lines: two runs of a seed have the same. */
  hash = 0;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(line: string): void {
    // Which process of a wasm instance it was is no part of the story.
    const same = line.replaceAll(/(\/m\d+)\/\d+(?=\/)/g, "$1");
    const full = `${(this.#now() / 1000).toFixed(3).padStart(10)}  ${same}`;
    this.lines.push(full);
    for (let i = 0; i < full.length; i++) {
      this.hash = Math.imul(this.hash ^ full.charCodeAt(i), 0x01000193);
    }
  }
}
