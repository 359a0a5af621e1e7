/**
 * The contract of a local state as a test suite.
 *
 * @module
 */
import type { LocalState } from "../replica/local-state.ts";
import type { TestKit } from "./test-kit.ts";

const NAME = "0/0000000000000001-0000000000000001.ltx";
const NEXT = "0/0000000000000002-0000000000000002.ltx";

/** More than any implementation keeps in one piece. */
const LARGE = 300_001;

/** A test runner and the title of the suite. */
export interface LocalStateTestOptions extends TestKit {
  /** Title of the suite. @default "a local state" */
  readonly name?: string | undefined;
}

/**
 * Registers the tests that every local state must pass.
 *
 * `open` is called once per test with a name of its own; where the state is durable, it is called with the same name again
 * after the first one was closed.
 *
 * @example
 * ```ts ignore
 * import { testLocalState } from "pagestream/testing";
 * import { describe, expect, test } from "vitest";
 *
 * testLocalState((name) => myState(name), { describe, test, expect });
 * ```
 */
export function testLocalState(
  open: (name: string) => LocalState | Promise<LocalState>,
  options: LocalStateTestOptions,
): void {
  const { describe, test, expect, name: title = "a local state" } = options;
  let count = 0;
  const stateTest = (name: string, body: (fixture: Fixture) => void | Promise<void>): void => {
    const folder = `state-${count++}`;
    test(name, async () => {
      let state = await open(folder);
      await body({
        state,
        reopen: async () => {
          state.close();
          state = await open(folder);
          return state;
        },
      });
      state.close();
    });
  };
  describe(title, () => {
    stateTest(
      "lists a staged file once it is finished, and reads it back in parts",
      ({ state }) => {
        const writer = state.stage(NAME);
        const chunk = Uint8Array.of(1, 2, 3);
        writer.write(chunk);
        chunk.fill(9);
        writer.write(Uint8Array.of(4, 5));
        expect(state.staged()).toEqual([]);
        writer.finish();
        expect(state.staged()).toEqual([NAME]);
        expect(state.stagedSize(NAME)).toBe(5);
        expect([...state.readStaged(NAME, 0, 100)]).toEqual([1, 2, 3, 4, 5]);
        expect([...state.readStaged(NAME, 3, 1)]).toEqual([4]);
        expect([...state.readStaged(NAME, 5, 10)]).toEqual([]);
        state.syncStaged(NAME);
        state.removeStaged(NAME);
        state.removeStaged(NAME);
        expect(state.staged()).toEqual([]);
        expect(state.stagedSize(NAME)).toBe(0);
      },
    );

    stateTest("stages two files by turns, however large", async ({ state, reopen }) => {
      const large = state.stage(NAME);
      const small = state.stage(NEXT);
      for (let at = 0; at < LARGE; at += 1000) {
        large.write(pattern(at, Math.min(1000, LARGE - at)));
        small.write(Uint8Array.of(at & 255));
      }
      small.finish();
      large.finish();
      const check = (each: LocalState): void => {
        expect(each.staged()).toEqual([NAME, NEXT]);
        expect(each.stagedSize(NAME)).toBe(LARGE);
        expect(each.stagedSize(NEXT)).toBe(Math.ceil(LARGE / 1000));
        const middle = each.readStaged(NAME, 123_456, 100_000);
        expect(middle.length).toBe(100_000);
        expect(middle.every((byte, i) => byte === pattern(123_456 + i, 1)[0])).toBe(true);
      };
      check(state);
      if (state.durable) check(await reopen());
    });

    stateTest("lists nothing of an aborted file, and lets its name be used again", ({ state }) => {
      const writer = state.stage(NAME);
      writer.write(Uint8Array.of(1));
      writer.abort();
      expect(state.staged()).toEqual([]);
      const again = state.stage(NAME);
      again.write(Uint8Array.of(2));
      again.finish();
      expect([...state.readStaged(NAME, 0, 9)]).toEqual([2]);
      const replacing = state.stage(NAME);
      replacing.write(Uint8Array.of(3));
      expect([...state.readStaged(NAME, 0, 9)]).toEqual([2]);
      replacing.finish();
      expect([...state.readStaged(NAME, 0, 9)]).toEqual([3]);
      expect(state.staged()).toEqual([NAME]);
    });

    stateTest("keeps the marker that was written last", ({ state }) => {
      expect(state.readMarker()).toBe(undefined);
      state.replaceMarker(Uint8Array.of(1, 2));
      state.replaceMarker(Uint8Array.of(3));
      expect([...(state.readMarker() as Uint8Array)]).toEqual([3]);
      state.removeMarker();
      state.removeMarker();
      expect(state.readMarker()).toBe(undefined);
    });

    stateTest(
      "survives its end: staged files, the marker and the log",
      async ({ state, reopen }) => {
        if (!state.durable) return;
        const writer = state.stage(NAME);
        writer.write(Uint8Array.of(7));
        writer.finish();
        state.stage(NEXT).write(Uint8Array.of(8));
        state.replaceMarker(Uint8Array.of(1));
        state.appendMarker(Uint8Array.of(2));
        state.appendMarker(Uint8Array.of(3));
        state.syncMarker();
        expect([...state.readLog(0, 9)]).toEqual([]);
        state.truncateLog(0);
        state.writeLog(Uint8Array.of(1, 2, 3), 0);
        state.writeLog(Uint8Array.of(4), 2);
        state.syncLog();
        const second = await reopen();
        expect(second.staged()).toEqual([NAME]);
        expect([...second.readStaged(NAME, 0, 9)]).toEqual([7]);
        expect([...(second.readMarker() as Uint8Array)]).toEqual([1, 2, 3]);
        second.appendMarker(Uint8Array.of(4));
        expect([...(second.readMarker() as Uint8Array)]).toEqual([1, 2, 3, 4]);
        expect([...second.readLog(0, 9)]).toEqual([1, 2, 4]);
        expect([...second.readLog(1, 1)]).toEqual([2]);
        second.truncateLog(1);
        second.writeLog(Uint8Array.of(5), 1);
        second.removeMarker();
        const third = await reopen();
        expect(third.readMarker()).toBe(undefined);
        expect([...third.readLog(0, 9)]).toEqual([1, 5]);
        third.replaceLog((append) => {
          append(Uint8Array.of(6));
          append(Uint8Array.of(7));
        });
        third.removeStaged(NAME);
        const fourth = await reopen();
        expect([...fourth.readLog(0, 9)]).toEqual([6, 7]);
        expect(fourth.staged()).toEqual([]);
      },
    );
  });
}

interface Fixture {
  readonly state: LocalState;
  /** Closes the state and opens it again. */
  readonly reopen: () => Promise<LocalState>;
}

function pattern(offset: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => ((offset + i) * 31) >> 3);
}
