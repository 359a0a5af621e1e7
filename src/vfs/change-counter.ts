/**
 * The change counter of a database file, by which commits of others show: in a rollback journal's mode each commit adds
 * one, except in exclusive locking mode.
 *
 * @module
 */

/** What is known of one file's change counter. */
export class ChangeCounter {
  #last: number | undefined;
  #written: number | undefined;
  #skipped = false;

  /** At the last commit; undefined before the file was read. */
  get last(): number | undefined {
    return this.#last;
  }

  set last(counter: number | undefined) {
    this.#last = counter;
    this.#skipped = false;
  }

  /** Notes what one of our connections writes, be it to commit or to take back. */
  wrote(counter: number): void {
    if (this.#last !== undefined && (counter - this.#last) >>> 0 > 1) this.#skipped = true;
    this.#written = counter;
  }

  /** Whether nobody else committed between the last commit and the one that left the counter at `now`. */
  follows(now: number): boolean {
    if (this.#last === undefined) return true;
    const step = (now - this.#last) >>> 0;
    return step === 0 || (step === 1 && now === this.#written && !this.#skipped);
  }
}
