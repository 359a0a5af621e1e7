import { describe, expect, test } from "vitest";
import { memorySyncFiles } from "../testing/memory-sync-files.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { testLocalState } from "../testing/test-local-state.ts";
import { fileState, memoryState, stateDirectory } from "./local-state.ts";

const NAME = "0/0000000000000001-0000000000000001.ltx";

testLocalState(() => memoryState(), { describe, test, expect, name: "memoryState()" });

const shared = memorySyncFiles();
testLocalState((name) => fileState(shared, `/data/.${name}-pagestream`), {
  describe,
  test,
  expect,
  name: "fileState()",
});

describe("fileState()", () => {
  const directory = "/data/.app.db-pagestream";

  test("survives a new process: staged files, the marker and what was appended to it", () => {
    const files = memorySyncFiles();
    const first = fileState(files, directory);
    const writer = first.stage(NAME);
    writer.write(Uint8Array.of(7));
    writer.finish();
    first.replaceMarker(Uint8Array.of(1));
    first.appendMarker(Uint8Array.of(2));
    first.appendMarker(Uint8Array.of(3));
    first.close();
    const second = fileState(files, directory);
    expect(second.staged()).toEqual([NAME]);
    expect([...(second.readMarker() as Uint8Array)]).toEqual([1, 2, 3]);
    second.appendMarker(Uint8Array.of(4));
    second.syncMarker();
    expect([...(second.readMarker() as Uint8Array)]).toEqual([1, 2, 3, 4]);
  });

  test("removes what an earlier process left unfinished", () => {
    const files = memorySyncFiles();
    fileState(files, directory).stage(NAME).write(Uint8Array.of(1));
    expect(files.list(`${directory}/ltx/0`)).toHaveLength(1);
    expect(fileState(files, directory).staged()).toEqual([]);
    expect(files.list(`${directory}/ltx/0`)).toEqual([]);
  });

  test("keeps synced files and the synced commit log through a power cut, names and directories too", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const files = memorySyncFiles();
      files.place("/data/app.db", new Uint8Array(0));
      const state = fileState(files, directory);
      const writer = state.stage(NAME);
      writer.write(Uint8Array.of(7));
      writer.finish();
      state.syncStaged(NAME);
      state.writeLog(Uint8Array.of(1, 2, 3), 0);
      state.writeLog(Uint8Array.of(4), 2);
      state.syncLog();
      state.writeLog(Uint8Array.of(9), 3);
      files.crash("power", seededRandom(seed));
      const next = fileState(files, directory);
      expect(next.staged()).toEqual([NAME]);
      expect([...next.readStaged(NAME, 0, 9)]).toEqual([7]);
      expect([...next.readLog(0, 3)]).toEqual([1, 2, 4]);
      next.truncateLog(1);
      next.writeLog(Uint8Array.of(5), 1);
      expect([...next.readLog(0, 9)]).toEqual([1, 5]);
      next.replaceLog((append) => append(Uint8Array.of(6, 6)));
      files.crash("power", seededRandom(seed));
      expect([...fileState(files, directory).readLog(0, 9)]).toEqual([6, 6]);
    }
  });

  test("reads no commit log where there is none, and cuts none", () => {
    const files = memorySyncFiles();
    const state = fileState(files, directory);
    state.truncateLog(0);
    state.syncLog();
    expect([...state.readLog(0, 9)]).toEqual([]);
    expect(files.paths()).toEqual([]);
    state.syncStaged(NAME);
  });

  test("touches nothing on disk before there is something to keep", () => {
    const files = memorySyncFiles();
    fileState(files, directory).close();
    expect(files.identity("/data")).toBeUndefined();
  });
});

describe("stateDirectory()", () => {
  test("lies beside the database, hidden and named after it", () => {
    expect(stateDirectory("/data/app.db")).toBe("/data/.app.db-pagestream");
    expect(stateDirectory("app.db")).toBe(".app.db-pagestream");
    expect(stateDirectory("C:\\data\\app.db")).toBe("C:\\data\\.app.db-pagestream");
  });
});
