/**
 * Where in a table rows may differ between two states, told from the leaves that are not the same in both.
 *
 * A row has one leaf in each state. Where that is the same page, and the page did not change, the row did not either: the walk
 * that found an owner for every page that changed has found that none of its overflow pages did.
 *
 * @module
 */
import { leafRowids, type RowidRange } from "../core/leaf-rowids.ts";
import type { PageSource, PageView } from "../core/page-source.ts";
import type { Difference } from "./touched-tables.ts";
import { TreeWalk } from "./tree-walk.ts";

/**
 * Ranges of rowids, in their order and apart from each other, outside of which a table is the same in both states; undefined
 * where that would not be worth it, or cannot be told. Holds only where the walk of `touchedTables` was complete.
 *
 * @param root first page of the table in both states.
 */
export async function changedRows<V extends PageView>(
  source: PageSource<V>,
  { from, to, pages }: Difference<V>,
  { root, signal }: { readonly root: number; readonly signal: AbortSignal | undefined },
): Promise<readonly RowidRange[] | undefined> {
  const walks = [from, to].map((view) => new TreeWalk(source, view, signal));
  const leaves: ReadonlySet<number>[] = [];
  for (const walk of walks) leaves.push(await leavesOf(walk, root));
  if (walks.some(({ isCut }) => isCut)) return undefined;
  const changed = new Set(pages);
  const differing = leaves.map((own, i) => {
    const other = leaves[1 - i] as ReadonlySet<number>;
    return [...own].filter((pgno) => changed.has(pgno) || !other.has(pgno));
  });
  const count = (each: readonly Iterable<number>[]): number =>
    each.flatMap((set) => [...set]).length;
  if (count(differing) * 2 > count(leaves)) return undefined;
  const ranges: RowidRange[] = [];
  for (const [i, walk] of walks.entries()) {
    const pgnos = differing[i] as number[];
    for (const [j, page] of (await walk.read(pgnos)).entries()) {
      const range = page && leafRowids(page, pgnos[j] as number);
      if (range === undefined) return undefined;
      if (range !== "none") ranges.push(range);
    }
  }
  return joined(ranges);
}

async function leavesOf<V extends PageView>(
  walk: TreeWalk<V>,
  root: number,
): Promise<ReadonlySet<number>> {
  const depth = (await walk.depths([root])).get(root) ?? 1;
  const leaves = new Set<number>(depth === 1 ? [root] : []);
  for await (const { pgnos, areLeaves } of walk.below(root, depth)) {
    if (areLeaves) for (const pgno of pgnos) leaves.add(pgno);
  }
  return leaves;
}

/** The same rowids in ranges that do not overlap. */
function joined(ranges: readonly RowidRange[]): RowidRange[] {
  const apart: [bigint, bigint][] = [];
  for (const [first, last] of ranges.toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const before = apart.at(-1);
    if (before === undefined || first > before[1]) apart.push([first, last]);
    else if (last > before[1]) before[1] = last;
  }
  return apart;
}
