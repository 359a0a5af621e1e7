/**
 * Faults put into the engine on purpose: what the simulation has to find.
 *
 * Each replaces one piece of source text, which must be there exactly once.
 *
 * @module
 */

/** A change of one source file. */
export interface Mutation {
  readonly name: string;
  /** Below `src`. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** The seed to begin with, where the first ones do not come to it. @default 1 */
  readonly first?: number;
}

/** All of them. */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: "an upload counts as confirmed when its name is taken, without a look at what is there",
    file: "replica/upload-staged.ts",
    find: "if (await isSame(replica, there, { object, signal })) return is(object);",
    replace: "return is(object);",
  },
  {
    name: "a file is confirmed when it is cut",
    file: "replica/destination.ts",
    find: "    this.#sequence = Math.max(this.#sequence, file.sequence);\n    if (doubtsEnd",
    replace: "    this.#sequence = Math.max(this.#sequence, file.sequence + 1);\n    if (doubtsEnd",
  },
  {
    name: "a cut drops a page that was there before",
    file: "replica/l0-cutter.ts",
    find: "for (const pgno of group.sortedNumbers()) writer.page(pgno, group.image(pgno));",
    replace:
      "for (const pgno of group.sortedNumbers()) if (pgno !== 3 || this.#last.commit < 3) writer.page(pgno, group.image(pgno));",
  },
  {
    name: "a start ships of the pages that differ only the first, and what is new",
    file: "replica/comparison.ts",
    find: "const differing = unlike.length === 0 ? Uint32Array.of(1) : unlike;",
    replace: "const differing = unlike.filter((pgno) => pgno < 2 || pgno > newest.table.size);",
  },
  {
    name: "what was staged is uploaded at the next start whether or not the database holds it",
    file: "replica/settle-staged.ts",
    find: "if (local.isSame(state)) found = waiting.slice(0, i + 1);",
    replace: "found = waiting.slice(0, i + 1);",
  },
  {
    name: "a log is uploaded behind whatever the replica holds",
    file: "replica/recover-log.ts",
    find: "if (!first.full && !follows) return;",
    replace: "",
  },
  {
    name: "a restore takes the older image of a page",
    file: "ltx/merge.ts",
    find: "(a.pgno === b.pgno && a.rank > b.rank)",
    replace: "(a.pgno === b.pgno && a.rank < b.rank)",
  },
];
