import { readFileSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { fileStore } from "@pagestream/node";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FollowSource, followSource } from "../helpers/follow-source.ts";
import { makeScratch, pagestream } from "./command.ts";

const scratch = makeScratch();
afterAll(() => scratch.remove());

let replica: string;
let copy: string;
let source: FollowSource;
beforeEach(async () => {
  replica = scratch.next("replica");
  copy = scratch.next("copy.db");
  source = followSource(fileStore(replica));
  await source.commit("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
});
afterEach(() => source.close());

function rows(): unknown {
  const db = new DatabaseSync(copy, { readOnly: true });
  try {
    return db.prepare("SELECT count(*) AS n FROM t").get()?.["n"];
  } finally {
    db.close();
  }
}

describe("pagestream follow", () => {
  test.each([
    ["follow", ["follow", "--json"]],
    ["restore -f", ["restore", "-f", "-json"]],
  ])("pagestream %s applies what comes, and ends with 0 on a signal", async (_, command) => {
    const lines: Record<string, unknown>[] = [];
    let committed: Promise<unknown> = Promise.resolve();
    const args = [...command, "-o", copy, "-follow-interval", "20ms", `file://${replica}`];
    const { code, stderr } = await pagestream(args, {
      onOutput(text, child) {
        for (const line of text.trim().split("\n")) lines.push(JSON.parse(line) as never);
        if (lines.length === 1) committed = source.commit("INSERT INTO t VALUES (2)");
        else if (lines.length === 2) child.kill("SIGTERM");
      },
    });
    await committed;
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(lines).toMatchObject([
      { event: "applied", txid: "0000000000000001", files: 1, rebased: true },
      { event: "applied", txid: "0000000000000002", files: 1, pages: 2, rebased: false },
      { event: "closed", position: "0000000000000002" },
    ]);
    expect(rows()).toBe(2);
    expect(readFileSync(`${copy}-txid`, "latin1")).toBe("0000000000000002\n");
  });

  test("pagestream follow goes on with a copy, and prints what it does", async () => {
    const args = ["follow", "-o", copy, replica];
    const first = await pagestream(args, {
      onOutput(text, child) {
        if (text.includes("restored from 1 file")) child.kill("SIGINT");
      },
    });
    expect(first.stdout).toContain(`Following ${replica} into ${copy}, from 0000000000000001`);
    expect(first.code).toBe(0);
    await source.commit("INSERT INTO t VALUES (2)");
    const again = await pagestream(args, {
      onOutput(text, child) {
        if (text.includes("applied 1 file, 2 pages")) child.kill("SIGINT");
      },
    });
    expect(again.stdout).toContain("from 0000000000000001");
    expect(again.stdout).toContain("0000000000000002 ");
    expect(rows()).toBe(2);
  });

  test("pagestream follow is killed again and again, and no reader ever sees half a step", async () => {
    const args = ["follow", "-follow-interval", "1ms", "-o", copy, replica];
    const state = "SELECT count(*) AS n, min(a) AS low, max(a) AS high FROM t";
    let round = 1;
    const commit = async (): Promise<void> => {
      round++;
      const rows = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)`;
      await source.commit(
        `BEGIN; DELETE FROM t; ${rows} INSERT INTO t SELECT ${round} FROM n; COMMIT`,
      );
    };
    await commit();
    let held: DatabaseSync | undefined;
    for (let life = 0; life < 4; life++) {
      let working: Promise<void> | undefined;
      const { signal } = await pagestream(args, {
        onOutput(_, child) {
          working ??= (async () => {
            for (let left = 3 + life; left > 0; left--) await commit();
            child.kill("SIGKILL");
          })();
        },
      });
      await working;
      expect(signal).toBe("SIGKILL");
      // The reader stays connected over all lives but the first, half of the time in a transaction.
      held ??= new DatabaseSync(copy, { readOnly: true });
      const seen = held.prepare(state).get() as { n: number; low: number; high: number };
      expect([1, 200]).toContain(seen.n);
      expect(seen.low).toBe(seen.high);
      if (life % 2 === 0) held.exec("BEGIN");
      held.prepare(state).get();
      if (life % 2 === 1) held.exec("COMMIT");
    }
    const last = await pagestream(args, {
      onOutput(text, child) {
        if (text.includes(source.txid.toString(16).padStart(16, "0"))) child.kill("SIGTERM");
      },
    });
    expect(last.stderr).toBe("");
    expect(held?.prepare(state).get()).toEqual({ n: 200, low: round, high: round });
    expect(held?.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    held?.close();
  });

  test("pagestream follow refuses what is no copy, and says what to do", async () => {
    writeFileSync(copy, "something");
    const { code, stderr } = await pagestream(["follow", "-o", copy, replica]);
    expect(code).toBe(5);
    expect(stderr).toContain(`${copy}-txid`);
    expect(readFileSync(copy, "latin1")).toBe("something");
  });

  test("pagestream follow tells that there is no backup", async () => {
    const { code } = await pagestream(["follow", "-o", copy, scratch.next("nothing")]);
    expect(code).toBe(4);
  });

  test.each([
    [["follow", "/r"], "-o is required"],
    [["follow", "-o", "x"], "replica path or URL required"],
    [["follow", "-o", "x", "-follow-interval", "fast", "/r"], "-follow-interval"],
    [["follow", "-o", "x", "-follow-interval", "0s", "/r"], "-follow-interval"],
    [
      ["restore", "-f", "-txid", "0000000000000001", "-o", "x", "/r"],
      "-f cannot be used with -txid",
    ],
    [["restore", "-f", "-timestamp", "2026-01-01T00:00:00Z", "-o", "x", "/r"], "-timestamp"],
    [["restore", "-f", "-dry-run", "-o", "x", "/r"], "-dry-run"],
  ])("pagestream %j is refused", async (args, message) => {
    const { code, stderr } = await pagestream(args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
