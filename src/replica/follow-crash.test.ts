/**
 * Followed copies whose process dies, or whose machine loses power, at every single file call.
 */
import { describe, expect, test } from "vitest";
import { memoryGuard } from "../../test/helpers/copy-guard.ts";
import {
  type MemorySyncFiles,
  memorySyncFiles,
  pageImage,
  seededRandom,
} from "../testing/index.ts";
import { checkpointed } from "../testing/checkpointed.ts";
import { redoFollowTarget } from "./follow-redo.ts";
import type { FollowTarget } from "./follow-target.ts";
import { walFollowTarget } from "./follow-wal.ts";

const PATH = "/copies/copy.db";

/** A state of the database: its pages, by what fills them. */
interface State {
  readonly txid: number;
  readonly pageSize: number;
  readonly pages: readonly number[];
}

/** The history that is followed. Each state has a page 1 of its own. */
const HISTORY: readonly State[] = [
  { txid: 3, pageSize: 512, pages: [3, 1, 1, 1, 1] },
  { txid: 4, pageSize: 512, pages: [4, 4, 1, 1, 1] },
  // Shrunk, and by a file of several TXIDs.
  { txid: 9, pageSize: 512, pages: [9, 4] },
  { txid: 20, pageSize: 512, pages: [20, 4, 20, 20, 20, 20, 20] },
  { txid: 21, pageSize: 1024, pages: [21, 21, 21] },
  { txid: 22, pageSize: 1024, pages: [22, 21, 22, 22] },
];
/** States that are brought as a whole. */
const WHOLE = new Set([3, 20, 21]);

const pages = new Map<string, Uint8Array>();

function page(state: State, pgno: number): Uint8Array {
  const key = `${state.txid} ${pgno}`;
  const known = pages.get(key) ?? newPage(state, pgno);
  pages.set(key, known);
  return known;
}

function newPage(state: State, pgno: number): Uint8Array {
  const bytes = pageImage({ seed: (state.pages[pgno - 1] as number) * 100 + pgno }, state.pageSize);
  if (pgno > 1) return bytes;
  const header = bytes.slice();
  header.set(Uint8Array.from("SQLite format 3\0", (c) => c.charCodeAt(0)));
  header.set([state.pageSize >> 8, 0, 1, 1, 0, 64, 32, 32], 16);
  return header;
}

/** The state as one file, without the bytes that tell the journal mode. */
function bytesOf(state: State): Uint8Array {
  const bytes = new Uint8Array(state.pages.length * state.pageSize);
  state.pages.forEach((_, i) => bytes.set(page(state, i + 1), i * state.pageSize));
  return withoutMode(bytes);
}

function withoutMode(bytes: Uint8Array): Uint8Array {
  return bytes.fill(0, 18, 20);
}

/** Brings a copy from the state it is in to another by one step, and lets go of it. */
async function apply(target: FollowTarget, from: State | undefined, to: State): Promise<void> {
  const isWhole = from === undefined || WHOLE.has(to.txid);
  const { pageSize, pages } = to;
  const next = { txid: BigInt(to.txid), pageSize, commit: pages.length, isWhole };
  const step = await target.begin(next);
  try {
    for (let pgno = 1; pgno <= pages.length; pgno++) {
      if (isWhole || from.pages[pgno - 1] !== pages[pgno - 1] || pgno > from.pages.length)
        await step.write(pgno, page(to, pgno));
    }
    await step.commit();
  } catch (error) {
    await step.abort();
    throw error;
  }
}

/** The index of the state that the copy is at, as far as it knows, and how far it may be. */
function standing(target: FollowTarget): { readonly at: number; readonly atMost: number } {
  const { state } = target;
  const index = (txid: bigint | undefined): number =>
    HISTORY.findIndex((known) => BigInt(known.txid) === txid);
  return { at: index(state?.txid), atMost: index(state?.atMost) };
}

/**
 * Follows to the end of the history as a follower does: from where the copy stands, never by a step that ends before what
 * it may hold already. `seen` is told of each state that a reader could see in between.
 */
async function followAll(
  target: FollowTarget,
  seen: (index: number) => void,
  open = true,
): Promise<void> {
  if (open) await target.open();
  for (;;) {
    const { at, atMost } = standing(target);
    if (at === HISTORY.length - 1 && atMost === at) return;
    const to = atMost > at ? atMost : at + 1;
    await apply(target, HISTORY[at], mergedSteps(at, to));
    expect(standing(target)).toEqual({ at: to, atMost: to });
    seen(to);
  }
}

/** The state that the steps from one to another lead to. A chain over a page size brings everything. */
function mergedSteps(from: number, to: number): State {
  return from < 0 ? (HISTORY[0] as State) : (HISTORY[to] as State);
}

/** A kind of copy on files in memory. */
interface Kind {
  readonly name: string;
  target(files: MemorySyncFiles, seed: number): FollowTarget;
  /** What a reader sees that opens it, journal mode aside; `undefined` where there is no copy. */
  view(files: MemorySyncFiles): Uint8Array | undefined;
}

const KINDS: readonly Kind[] = [
  {
    name: "walFollowTarget()",
    target(files, seed) {
      const random = seededRandom(seed);
      return walFollowTarget(files, PATH, {
        guard: memoryGuard(files, PATH),
        randomBytes: (length) => random.bytes(length),
      });
    },
    view(files) {
      const main = files.bytes(PATH);
      return main && withoutMode(checkpointed(main, files.bytes(`${PATH}-wal`)));
    },
  },
  {
    name: "redoFollowTarget()",
    target(files) {
      return redoFollowTarget(PATH, () => {
        files.makeDirectory("/copies");
        const [database, log, position] = ["", "-redo", "-txid"].map((suffix) =>
          files.open(PATH + suffix, { mode: "create" }),
        );
        // A browser's files are there for good when they are made.
        files.syncDirectory("/copies");
        return { database, log, position } as never;
      });
    },
    // Nobody reads but through an open target, which completes what a crash left.
    view: () => undefined,
  },
];

class Crash extends Error {}

describe.each(KINDS)("$name", (kind) => {
  test("a followed copy is at each state in turn", async () => {
    const files = memorySyncFiles();
    files.makeDirectory("/copies");
    const seen: number[] = [];
    const target = kind.target(files, 1);
    await followAll(target, (index) => seen.push(index));
    await target.close();
    expect(seen).toEqual(HISTORY.map((_, i) => i));
    expect(withoutMode(files.bytes(PATH) as Uint8Array)).toEqual(bytesOf(HISTORY.at(-1) as State));
    const again = kind.target(files, 2);
    await again.open();
    expect(standing(again).at).toBe(HISTORY.length - 1);
    await again.close();
  });

  test.each(["process", "power"] as const)(
    "a followed copy survives a crash of the %s at every file call",
    async (what) => {
      let crashes = 0;
      for (let at = 1; ; at++) {
        let left = at;
        const files = memorySyncFiles({
          onOperation() {
            // A process that has died makes no further calls.
            if (--left <= 0) throw new Crash();
          },
        });
        // The directory is there for good.
        files.place("/copies/other", new Uint8Array(1));
        let last = -1;
        const crashed = await followAll(kind.target(files, at), (index) => (last = index)).then(
          () => false,
          () => true,
        );
        if (!crashed) break;
        crashes++;
        left = Number.POSITIVE_INFINITY;
        files.crash(what, seededRandom(at));
        const where = `crash at call ${at}`;
        expectSeen(kind.view(files), { last, where });
        const after: number[] = [];
        const view = kind.view(files);
        const target = kind.target(files, at + 1000);
        await target.open();
        expectCertain(target, { view, where });
        await followAll(target, (index) => after.push(index), false);
        // What readers see afterwards never goes back.
        expect(
          after.every((index) => index >= last),
          `${where}: ${last}, then ${after.join()}`,
        ).toBe(true);
        await target.close();
        expectFinal(files, where);
      }
      expect(crashes).toBeGreaterThan(60);
    },
  );

  test("a followed copy goes on after any file call that fails once", async () => {
    let faults = 0;
    for (let at = 1; ; at++) {
      let left = at;
      const files = memorySyncFiles({
        onOperation() {
          if (--left === 0) throw new Crash();
        },
      });
      let last = -1;
      const target = kind.target(files, at);
      const where = `fault at call ${at}`;
      const seen = (index: number): void => {
        expect(index, where).toBeGreaterThan(last);
        last = index;
        expectSeen(kind.view(files), { last: index, where });
      };
      const failed = await followAll(target, seen).then(
        () => false,
        () => true,
      );
      if (!failed && left > 0) break;
      faults++;
      expectSeen(kind.view(files), { last, where });
      if (failed && target.state === undefined) await target.close();
      const again = failed && target.state === undefined ? kind.target(files, at + 1000) : target;
      if (failed) await followAll(again, seen, again !== target);
      await again.close();
      expectFinal(files, where);
    }
    expect(faults).toBeGreaterThan(60);
  });
});

/** Readers see the state before the step or the one after it. */
function expectSeen(
  view: Uint8Array | undefined,
  context: { readonly last: number; readonly where: string },
): void {
  const { last, where } = context;
  if (view === undefined) return;
  const states = [last, last + 1].map((i) => HISTORY[i]).filter((state) => state !== undefined);
  const equal = states.some((state) => Buffer.from(bytesOf(state)).equals(view));
  expect(equal, `${where}, after state ${last}`).toBe(true);
}

/**
 * Where a longer step comes next and the copy does not say that it may be there already, it is not: or a shorter step could
 * be repeated on it.
 */
function expectCertain(
  target: FollowTarget,
  context: { readonly view: Uint8Array | undefined; readonly where: string },
): void {
  const { view, where } = context;
  const { at, atMost } = standing(target);
  const [state, next] = [HISTORY[at], HISTORY[at + 1]];
  if (view === undefined || at !== atMost || state === undefined || next === undefined) return;
  if (next.txid > state.txid + 1) expect(view, where).toEqual(bytesOf(state));
}

function expectFinal(files: MemorySyncFiles, where: string): void {
  const bytes = withoutMode(files.bytes(PATH) as Uint8Array);
  expect(bytes, where).toEqual(bytesOf(HISTORY.at(-1) as State));
}
