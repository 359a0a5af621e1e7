/** @module */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { type Fixture, fixtures, ltxFiles, unpackFixture } from "../interop/fixtures.ts";
import { BIN, makeScratch, pagestream } from "./command.ts";

const scratch = makeScratch();
const levels = unpackFixture("levels");
const recorded = fixtures["levels"] as Fixture;
const SNAPSHOT = "ltx/9/0000000000000001-000000000000001b.ltx";

afterAll(() => {
  scratch.remove();
  levels.remove();
});

function copyReplica(): string {
  const path = scratch.next("replica");
  cpSync(levels.path, path, { recursive: true, preserveTimestamps: true });
  return path;
}

function flipByte(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset] = (bytes[offset] as number) ^ 1;
  writeFileSync(path, bytes);
}

interface Row {
  readonly level: number;
  readonly min_txid: string;
  readonly max_txid: string;
  readonly size: number;
  readonly timestamp: string;
}

describe("pagestream ltx list", () => {
  test("ltx prints the files of level 0, and list is another name for it", async () => {
    const { code, stdout, stderr } = await pagestream(["ltx", levels.path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^level {2}min_txid {10}max_txid {10}size +created$/);
    const first = recorded.files.find((f) => f.path.startsWith("ltx/0/"));
    const time = new Date(first?.mtime_ms ?? 0).toISOString();
    expect(lines[1]).toMatch(
      new RegExp(`^0 {6}0000000000000001 {2}0000000000000001 {2}${first?.size} +${time}$`),
    );
    const count = recorded.files.filter((f) => f.path.startsWith("ltx/0/")).length;
    expect(lines).toHaveLength(count + 1);
    const list = await pagestream(["ltx", "list", pathToFileURL(levels.path).href]);
    expect(list.stdout).toBe(stdout);
  });

  test.each([
    [["-level", "9"], [9]],
    [["--level=1"], [1]],
    [
      ["-level", "all"],
      [0, 1, 2, 3, 9],
    ],
  ])("ltx %j -json prints the files of these levels", async (flags, wanted) => {
    const { code, stdout } = await pagestream(["ltx", ...flags, "-json", levels.path]);
    expect(code).toBe(0);
    const rows = JSON.parse(stdout) as Row[];
    expect(Object.keys(rows[0] as Row)).toEqual([
      "level",
      "min_txid",
      "max_txid",
      "size",
      "timestamp",
    ]);
    const expected = ltxFiles(recorded).filter((f) => wanted.includes(f.level));
    expect(rows.map((r) => `${r.level} ${r.min_txid} ${r.timestamp}`).sort()).toEqual(
      expected
        .map((f) => {
          const min = f.min.toString(16).padStart(16, "0");
          return `${f.level} ${min} ${new Date(f.time).toISOString()}`;
        })
        .sort(),
    );
  });

  test("ltx prints an empty table, or [], where nothing is", async () => {
    const nowhere = scratch.next("nowhere");
    const text = await pagestream(["ltx", nowhere]);
    expect(text.code).toBe(0);
    expect(text.stdout).toBe("level  min_txid  max_txid  size  created\n");
    expect(text.stderr).toContain("there is no such directory");
    const json = await pagestream(["ltx", "-json", nowhere]);
    expect(json).toMatchObject({ code: 0, stdout: "[]\n", stderr: "" });
  });

  test("ltx refuses a missing replica and a level that is none", async () => {
    expect(await pagestream(["ltx"])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: "Error: database path or replica URL required\nTry: pagestream ltx /path/to/db\n",
    });
    for (const level of ["10", "-1", "x", ""]) {
      const { code, stderr } = await pagestream(["ltx", "-level", level, levels.path]);
      expect({ level, code }).toEqual({ level, code: 2 });
      expect(stderr).toContain(`invalid value "${level}" for flag -level`);
    }
  });

  test.skipIf(process.platform === "win32")("ltx is quiet when nobody reads on", () => {
    const script = `"$0" "$1" ltx -level all "$2" | true; exit "\${PIPESTATUS[0]}"`;
    for (let i = 0; i < 5; i++) {
      const args = ["-c", script, process.execPath, BIN, levels.path];
      const { status, stderr } = spawnSync("bash", args, { encoding: "utf8" });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    }
  });
});

describe("pagestream ltx show", () => {
  test("ltx show prints header and trailer", async () => {
    const path = join(levels.path, SNAPSHOT);
    const { code, stdout } = await pagestream(["ltx", "show", path]);
    expect(code).toBe(0);
    for (const line of [
      /^min txid +0000000000000001$/m,
      /^max txid +000000000000001b$/m,
      /^snapshot +yes$/m,
      /^page size +4096$/m,
      /^commit +11 pages$/m,
      /^file checksum +83bf875935a52dca$/m,
    ]) {
      expect(stdout).toMatch(line);
    }
    expect(stdout).not.toContain("pgno");
  });

  test("ltx show --pages --json prints the page index as it lies in the file", async () => {
    const path = join(levels.path, SNAPSHOT);
    const url = pathToFileURL(path).href;
    const { stdout } = await pagestream(["ltx", "show", url, "-pages", "-json"]);
    const shown = JSON.parse(stdout) as {
      readonly size: number;
      readonly header: Record<string, unknown>;
      readonly page_count: number;
      readonly pages: readonly Record<"pgno" | "offset" | "size", number>[];
    };
    const bytes = readFileSync(path);
    expect(shown.size).toBe(bytes.length);
    expect(shown.header).toMatchObject({
      page_size: bytes.readUInt32BE(8),
      commit: bytes.readUInt32BE(12),
      max_txid: "000000000000001b",
      timestamp: new Date(Number(bytes.readBigInt64BE(32))).toISOString(),
    });
    expect(shown.pages).toHaveLength(shown.page_count);
    let offset = 100;
    for (const page of shown.pages) {
      expect(page.offset).toBe(offset);
      expect(bytes.readUInt32BE(offset)).toBe(page.pgno);
      offset += page.size;
    }
    expect(bytes.readUInt32BE(offset)).toBe(0);
  });

  test("ltx show refuses what is no LTX file", async () => {
    expect(await pagestream(["ltx", "show"])).toMatchObject({
      code: 2,
      stderr:
        "Error: LTX file required\nTry: pagestream ltx show /path/to/replica/ltx/0/FILE.ltx\n",
    });
    const missing = await pagestream(["ltx", "show", "/nowhere/a.ltx"]);
    expect(missing).toMatchObject({
      code: 1,
      stderr: "Error: Cannot show /nowhere/a.ltx: there is no such file\n",
    });
    expect((await pagestream(["ltx", "show", levels.path])).code).toBe(2);
    const other = await pagestream(["ltx", "show", BIN]);
    expect(other.code).toBe(6);
    expect(other.stderr).toContain(BIN);
    const empty = scratch.next("empty.ltx");
    writeFileSync(empty, "");
    expect((await pagestream(["ltx", "show", empty])).code).toBe(6);
  });
});

interface VerifyReport {
  readonly ok: boolean;
  readonly files: number;
  readonly newest: readonly { readonly txid: string }[];
  readonly problems: readonly {
    readonly file: string;
    readonly code: string;
    readonly field?: string;
    readonly offset?: number;
    readonly message: string;
  }[];
}

async function verifyJson(...targets: string[]): Promise<VerifyReport & { code: number | null }> {
  const { code, stdout } = await pagestream(["ltx", "verify", "--json", ...targets]);
  return { ...(JSON.parse(stdout) as VerifyReport), code };
}

describe("pagestream ltx verify", () => {
  test("ltx verify finds nothing wrong with replicas that Litestream wrote", async () => {
    const others = ["levels-pruned", "frame-0.5.5", "upgrade-0.5.15-to-0.5.17"].map(unpackFixture);
    const paths = [levels, ...others].map((replica) => replica.path);
    const { code, stdout } = await pagestream(["ltx", "verify", ...paths]);
    for (const replica of others) replica.remove();
    expect(stdout).toContain(`newest state of ${levels.path}: 0000000000000022 of `);
    expect(stdout).toMatch(/: no problems\n$/);
    expect(code).toBe(0);
  });

  test("ltx verify takes single files", async () => {
    const path = join(levels.path, SNAPSHOT);
    expect(await verifyJson(path)).toMatchObject({ code: 0, ok: true, files: 1, newest: [] });
  });

  test("ltx verify names each problem with file, field and offset", async () => {
    const damaged = copyReplica();
    const flipped = join(damaged, "ltx/1/0000000000000022-0000000000000022.ltx");
    flipByte(flipped, 500);
    const cut = join(damaged, "ltx/0/0000000000000003-0000000000000003.ltx");
    writeFileSync(cut, readFileSync(cut).subarray(0, 1000));
    const level0 = join(damaged, "ltx/0");
    const renamed = join(level0, "0000000000000004-0000000000000005.ltx");
    renameSync(join(level0, "0000000000000005-0000000000000005.ltx"), renamed);
    const missing = join(level0, "0000000000000009-0000000000000009.ltx");
    rmSync(missing);

    const { code, ok, newest, problems } = await verifyJson(damaged);
    expect({ code, ok, newest }).toEqual({ code: 6, ok: false, newest: [] });
    const found = problems.map((p) => ({ file: p.file, code: p.code, field: p.field }));
    expect(found).toContainEqual({ file: flipped, code: "LTX_CHECKSUM", field: "fileChecksum" });
    expect(found).toContainEqual({ file: cut, code: "INVALID_LTX", field: "payload" });
    expect(
      found.filter(({ file, code }) => file === renamed && code === "DAMAGED_FILE"),
    ).toHaveLength(2);
    expect(found).toContainEqual({ file: missing, code: "GAP" });
    expect(found).toContainEqual({ file: flipped, code: "RESTORE" });
    expect(found).toHaveLength(6);
    expect(problems.find((p) => p.file === cut)?.offset).toBe(1000);

    const text = await pagestream(["ltx", "verify", damaged]);
    expect(text.code).toBe(6);
    for (const { file } of problems) expect(text.stdout).toContain(file);
    expect(text.stdout).toMatch(/: 6 problems\n$/);
  });

  test("ltx verify finds that the newest state cannot be restored", async () => {
    const replica = scratch.next("replica");
    mkdirSync(join(replica, "ltx/0"), { recursive: true });
    const name = "ltx/0/0000000000000002-0000000000000002.ltx";
    cpSync(join(levels.path, name), join(replica, name));
    const { code, problems } = await verifyJson(replica);
    expect(code).toBe(6);
    expect(problems.map((p) => [p.file, p.code])).toEqual([
      [join(replica, name), "GAP"],
      [replica, "RESTORE"],
    ]);
  });

  test("ltx verify refuses nothing at all", async () => {
    expect((await pagestream(["ltx", "verify"])).code).toBe(2);
    expect((await pagestream(["ltx", "verify", scratch.next("nowhere")])).code).toBe(1);
    const empty = scratch.next("empty");
    mkdirSync(empty);
    expect((await pagestream(["ltx", "verify", empty])).code).toBe(4);
  });
});
