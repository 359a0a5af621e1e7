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
}

/** All of them. */
export const MUTATIONS: readonly Mutation[] = [
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
    name: "a restore takes the older image of a page",
    file: "ltx/merge.ts",
    find: "(a.pgno === b.pgno && a.rank > b.rank)",
    replace: "(a.pgno === b.pgno && a.rank < b.rank)",
  },
  {
    name: "a follower leaves out a page",
    file: "replica/follow-apply.ts",
    find: "const written = step.write(merge.pgno, merge.data);",
    replace:
      "const written = merge.pgno === 3 && size > 3 ? undefined : step.write(merge.pgno, merge.data);",
  },
  {
    name: "a writer asks no more whether another has gone on",
    file: "replica/fence.ts",
    find: "    if (this.#proof === undefined) return false;\n",
    replace:
      "    if (this.#maxTxid !== undefined) return true;\n    if (this.#proof === undefined) return false;\n",
  },
  {
    name: "retention removes of level 0 what no level above holds",
    file: "replica/retention.ts",
    find: "const covered = file.maxTxid <= l1 && isCovered(file);",
    replace: "const covered = file.maxTxid < newest;",
  },
];
