/**
 * Which tables the pages that changed belong to, found by walking b-trees from above. Overflow pages are looked for below
 * leaves that changed, too.
 *
 * Where every page is found, a b-tree of the later state without any of them is the same in both states: its root is, and so
 * are all pages that pages of it name.
 *
 * @module
 */
import { childPages } from "../core/btree-page.ts";
import { viewOf } from "../core/bytes.ts";
import { overflowPages } from "../core/overflow-pages.ts";
import { type SchemaRow, schemaRows } from "../core/schema-rows.ts";
import type { PageSource, PageView } from "../core/page-source.ts";
import { TreeWalk } from "./tree-walk.ts";

/** Two states and the pages in which they may differ. */
export interface Difference<V extends PageView> {
  /** The earlier state. */
  readonly from: V;
  /** The later state. */
  readonly to: V;
  /** Numbers of pages, in ascending order. */
  readonly pages: Uint32Array;
}

/** What was found. */
export interface TouchedTables {
  /** Names of tables of which a page changed, sorted; those of one state only included. */
  readonly tables: readonly string[];
  /** First pages of those b-trees of the later state of which a page changed. */
  readonly roots: ReadonlySet<number>;
  /** Whether every page was found to belong to one of them, or to none. */
  readonly complete: boolean;
}

/** Finds the tables. */
export async function touchedTables<V extends PageView>(
  source: PageSource<V>,
  { from, to, pages }: Difference<V>,
  signal: AbortSignal | undefined,
): Promise<TouchedTables> {
  const trees = new TreeWalk(source, to, signal);
  const walk = new Walk(trees, pages);
  const tables = new Set<string>();
  const roots = new Set<number>();
  const rows = await walk.schema();
  if (rows === undefined) return { tables: [], roots, complete: false };
  if (walk.hasSchemaChanged) {
    const before = await new Walk(new TreeWalk(source, from, signal), pages).schema();
    const names = (each: readonly SchemaRow[] = []): Set<string> =>
      new Set(each.map(({ table }) => table));
    const [old, now] = [names(before), names(rows)];
    for (const name of [...old, ...now]) if (old.has(name) !== now.has(name)) tables.add(name);
  }
  await walk.freePages();
  const owners = new Map(rows.map(({ table, rootPage }) => [rootPage, table]));
  owners.delete(0);
  const depths = walk.isDone ? [] : [...(await trees.depths([...owners.keys()]))];
  // Small trees first: what is found there need not be looked for in large ones.
  for (const [root, depth] of depths.sort(([, a], [, b]) => a - b)) {
    if (walk.isDone) break;
    if (!(await walk.tree(root, depth))) continue;
    tables.add(owners.get(root) as string);
    roots.add(root);
  }
  await walk.overflow();
  return { tables: [...tables].sort(), roots, complete: walk.isDone };
}

/** One walk through a state. */
class Walk<V extends PageView> {
  readonly #trees: TreeWalk<V>;
  readonly #view: V;
  /** Pages that changed and have not been found yet. */
  readonly #wanted: Set<number>;
  /** Pages of trees that changed. */
  readonly #nodes: number[] = [];
  /** Bytes of a page that SQLite uses. */
  #usable = 0;
  /** Whether a page of `sqlite_schema` changed. */
  hasSchemaChanged = false;

  constructor(trees: TreeWalk<V>, pages: Uint32Array) {
    this.#trees = trees;
    this.#view = trees.view;
    this.#wanted = new Set(pages.filter((pgno) => pgno <= trees.view.commit));
  }

  get isDone(): boolean {
    return this.#wanted.size === 0;
  }

  /** Rows of `sqlite_schema`; undefined where it cannot be read. */
  async schema(): Promise<SchemaRow[] | undefined> {
    if (this.#view.commit === 0) return [];
    const [first] = await this.#trees.read([1]);
    if (first === undefined) return undefined;
    this.#usable = this.#view.pageSize - (first[20] ?? 0);
    const encoding = viewOf(first).getUint32(56);
    const decoder = new TextDecoder(["utf-8", "utf-8", "utf-16le", "utf-16be"][encoding]);
    const rows: SchemaRow[] = [];
    const seen = new Set([1]);
    let level = [1];
    while (level.length > 0) {
      const below: number[] = [];
      for (const pgno of level) if (this.#found(pgno)) this.hasSchemaChanged = true;
      const pages = await this.#trees.read(level);
      for (const [i, page] of pages.entries()) {
        const pgno = level[i] as number;
        const children = page && childPages(page, pgno, this.#view.commit);
        const found = page && (children ?? schemaRows(page, pgno, (text) => decoder.decode(text)));
        if (found === undefined) return undefined;
        if (children === undefined) rows.push(...(found as SchemaRow[]));
        else below.push(...this.#trees.notSeen(seen, children));
      }
      level = below;
    }
    return rows;
  }

  /** Takes out the pages of the free list and the pages that only point to others. */
  async freePages(): Promise<void> {
    const [first] = await this.#trees.read([1]);
    if (first === undefined) return;
    const header = viewOf(first);
    const { pageSize, commit } = this.#view;
    if (header.getUint32(52) !== 0) {
      const every = Math.floor(this.#usable / 5) + 1;
      for (const pgno of this.#wanted) if (pgno > 1 && (pgno - 2) % every === 0) this.#found(pgno);
    }
    let trunk = header.getUint32(32);
    for (const seen = new Set<number>(); trunk > 1 && trunk <= commit && !seen.has(trunk);) {
      seen.add(trunk);
      const [page] = await this.#trees.read([trunk]);
      if (page === undefined) return;
      this.#found(trunk);
      const view = viewOf(page);
      const count = Math.min(view.getUint32(4), pageSize / 4 - 2);
      for (let i = 0; i < count; i++) this.#found(view.getUint32(8 + 4 * i));
      trunk = view.getUint32(0);
    }
  }

  /** Whether a page of the tree changed. Goes through all of it, as long as pages are missing. */
  async tree(root: number, depth: number): Promise<boolean> {
    let hasChanged = this.#foundNode(root);
    if (this.isDone) return hasChanged;
    for await (const { pgnos } of this.#trees.below(root, depth)) {
      for (const pgno of pgnos) if (this.#foundNode(pgno)) hasChanged = true;
      if (this.isDone) break;
    }
    return hasChanged;
  }

  /** Takes out the overflow pages of the trees' pages that changed. */
  async overflow(): Promise<void> {
    if (this.isDone) return;
    let chain = (await this.#trees.read(this.#nodes)).flatMap((page, i) =>
      page === undefined ? [] : overflowPages(page, this.#nodes[i] as number, this.#usable),
    );
    while (chain.length > 0) {
      chain = chain.filter((pgno) => pgno > 1 && pgno <= this.#view.commit);
      for (const pgno of chain) this.#found(pgno);
      if (this.isDone) return;
      const pages = await this.#trees.read(chain);
      chain = pages.flatMap((page) => (page === undefined ? [] : viewOf(page).getUint32(0)));
    }
  }

  #foundNode(pgno: number): boolean {
    const isFound = this.#found(pgno);
    if (isFound) this.#nodes.push(pgno);
    return isFound;
  }

  #found(pgno: number): boolean {
    return this.#wanted.delete(pgno);
  }
}
