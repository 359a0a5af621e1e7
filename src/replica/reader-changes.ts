/**
 * Which pages may differ between two states, told from where they lie.
 *
 * @module
 */
import { lockPage } from "../core/lock-page.ts";
import type { View } from "./view.ts";

/** Page numbers in ascending order. */
export function changedPages(from: View, to: View): Uint32Array {
  const [older, newer] = from.txid <= to.txid ? [from, to] : [to, from];
  const most = Math.max(older.commit, newer.commit);
  const both = older.pageSize === newer.pageSize ? Math.min(older.commit, newer.commit) : 0;
  const lock = lockPage(newer.pageSize);
  const changed: number[] = [];
  for (let pgno = 1; pgno <= both;) {
    const shared = older.map.sharedUpTo(pgno, newer.map);
    if (shared < pgno && pgno !== lock && mayDiffer(older, newer, pgno)) changed.push(pgno);
    pgno = Math.max(shared, pgno) + 1;
  }
  for (let pgno = both + 1; pgno <= most; pgno++) changed.push(pgno);
  return Uint32Array.from(changed);
}

function mayDiffer(older: View, newer: View, pgno: number): boolean {
  const file = newer.map.file(pgno);
  if (file === undefined) return true;
  if (file === older.map.file(pgno) && newer.map.position(pgno) === older.map.position(pgno)) {
    return false;
  }
  // The newest image is of a file that the older state was made of, too.
  return file.info.maxTxid > older.txid;
}
