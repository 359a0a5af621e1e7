import { mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { buildLtx, type LtxSpec } from "../../src/testing/index.ts";
import { makeScratch, pagestream } from "./command.ts";

const scratch = makeScratch();
afterAll(() => scratch.remove());

const DAY = 86_400_000;

/** A replica directory with these files, level 0 unless told otherwise, written long ago. */
function makeReplica(files: readonly (LtxSpec & { readonly level?: number })[]): string {
  const replica = scratch.next("replica");
  for (const { level = 0, ...spec } of files) {
    const folder = join(replica, "ltx", String(level));
    mkdirSync(folder, { recursive: true });
    const built = buildLtx({ pageSize: 512, timestamp: Date.now() - 3 * DAY, ...spec });
    const path = join(folder, built.name);
    writeFileSync(path, built.bytes);
    // A directory keeps the time of a file as its own.
    utimesSync(path, built.timestamp / 1000, built.timestamp / 1000);
  }
  return replica;
}

/** `level/min-max` of every file. */
function filesOf(replica: string): string[] {
  return readdirSync(replica, { recursive: true })
    .map(String)
    .flatMap((name) => {
      const match = /^ltx\/(\d)\/0*(\w+)-0*(\w+)\.ltx$/.exec(name);
      return match === null ? [] : [`${match[1]}/${match[2]}-${match[3]}`];
    })
    .sort();
}

const THREE: readonly LtxSpec[] = [
  { pages: { 1: 1, 2: 2 } },
  { minTxid: 2n, pages: { 2: 3 } },
  { minTxid: 3n, pages: { 1: 4 }, commit: 2 },
];

describe("pagestream compact", () => {
  test("compacts every level, and says so when there is nothing new", async () => {
    const replica = makeReplica(THREE);
    const first = await pagestream(["compact", replica]);
    expect([first.code, first.stderr]).toEqual([0, ""]);
    expect(first.stdout).toMatch(/^1 +0{15}1-0{15}3 of 3 files, /m);
    expect(filesOf(replica)).toEqual(["0/1-1", "0/2-2", "0/3-3", "1/1-3", "2/1-3", "3/1-3"]);
    const again = await pagestream(["compact", replica, "-json"]);
    expect(JSON.parse(again.stdout)).toEqual(
      [1, 2, 3].map((level) => ({ level, outcome: "nothing-new" })),
    );
  });

  test("compacts into one level with -level", async () => {
    const replica = makeReplica(THREE);
    const { stdout } = await pagestream(["compact", "-level", "1", "-json", replica]);
    expect(JSON.parse(stdout)).toMatchObject([
      { level: 1, outcome: "compacted", max_txid: "0000000000000003", files: 3 },
    ]);
    expect(filesOf(replica)).toEqual(["0/1-1", "0/2-2", "0/3-3", "1/1-3"]);
    const early = await pagestream(["compact", "-level", "9", replica]);
    expect(early.code).toBe(2);
    expect(early.stderr).toContain("level must be between 1 and 8");
  });

  test("ends with 6 where files are missing", async () => {
    const replica = makeReplica(THREE.slice(1));
    const { code, stdout } = await pagestream(["compact", replica]);
    expect(code).toBe(6);
    expect(stdout).toContain("files are missing at level 0 between 0000000000000000 and");
  });
});

describe("pagestream retain", () => {
  const files = [
    ...THREE,
    { level: 1, maxTxid: 3n, pages: { 1: 4, 2: 3 } },
    { level: 9, pages: { 1: 1, 2: 2 } },
    { level: 9, maxTxid: 3n, pages: { 1: 4, 2: 3 }, timestamp: Date.now() },
  ];

  test("tells with -dry-run what would go and why, and removes nothing", async () => {
    const replica = makeReplica(files);
    const before = filesOf(replica);
    const { code, stdout } = await pagestream(["retain", "-dry-run", "-json", replica]);
    expect(code).toBe(0);
    const plan = JSON.parse(stdout) as { files: { level: number; remove: boolean }[] };
    expect(plan).toMatchObject({ dry_run: true, floor: "0000000000000001" });
    expect(plan.files.map(({ level, remove }) => `${level} ${remove}`)).toEqual([
      "0 true",
      "0 true",
      "0 false",
      "1 false",
      "9 true",
      "9 false",
    ]);
    expect(filesOf(replica)).toEqual(before);
    const { stdout: text } = await pagestream(["retain", "-dry-run", replica]);
    expect(text).toMatch(
      /^9 +0{15}1-0{15}1 +would go +older than 24 h, and a newer one is there$/m,
    );
    expect(text).toMatch(/^0 +0{15}3-0{15}3 +stays +the newest: the next TXID is told by it$/m);
    expect(text).toMatch(/^3 files, .* would be removed from /m);
  });

  test("removes what need not be kept", async () => {
    const replica = makeReplica(files);
    expect((await pagestream(["retain", replica])).stdout).toMatch(/^3 files, .* removed from /m);
    expect(filesOf(replica)).toEqual(["0/3-3", "1/1-3", "9/1-3"]);
  });

  test("keeps what an adopted state was put in place of until it is released", async () => {
    const replica = makeReplica(files);
    mkdirSync(join(replica, "pagestream"));
    writeFileSync(join(replica, "pagestream/adopted.json"), '{"txids":["0000000000000002"]}');
    await pagestream(["retain", replica]);
    expect(filesOf(replica)).toEqual(["0/3-3", "1/1-3", "9/1-1", "9/1-3"]);
    await pagestream(["retain", "-release-adopted", replica]);
    expect(filesOf(replica)).toEqual(["0/3-3", "1/1-3", "9/1-3"]);
    expect(readdirSync(join(replica, "pagestream"))).toEqual([]);
  });

  test("takes the times that Litestream's configuration has", async () => {
    const replica = makeReplica(files);
    const flags = ["-snapshot-retention", "96h", "-l0-retention", "1h30m"];
    await pagestream(["retain", ...flags, replica]);
    expect(filesOf(replica)).toEqual(["0/3-3", "1/1-3", "9/1-1", "9/1-3"]);
    const wrong = await pagestream(["retain", "-l0-retention", "soon", replica]);
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringContaining("write a duration such as 24h or 5m"),
    ]);
  });

  test("ends with 4 where there is no replica", async () => {
    const replica = makeReplica(files);
    rmSync(replica, { recursive: true });
    expect((await pagestream(["retain", "-dry-run", replica])).code).toBe(4);
  });
});
