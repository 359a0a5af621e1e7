/** @module */
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildLtx } from "pagestream/testing";
import { afterAll, describe, expect, test } from "vitest";
import { type Fixture, fixtures, unpackFixture } from "../interop/fixtures.ts";
import { BIN, makeScratch, pagestream } from "./command.ts";

const scratch = makeScratch();
const levels = unpackFixture("levels");
const older = unpackFixture("legacy-v0.3.13");
const latest = (fixtures["levels"] as Fixture).restore.find((r) => r.kind === "latest");
const byTxid = (fixtures["levels"] as Fixture).restore.filter((r) => r.kind === "txid" && r.sha256);
const byTime = (fixtures["levels"] as Fixture).restore.filter(
  (r) => r.kind === "timestamp" && r.sha256,
);

afterAll(() => {
  scratch.remove();
  levels.remove();
  older.remove();
});

function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** A copy of the replica for a test to damage. */
function copyReplica(): string {
  const path = scratch.next("replica");
  cpSync(levels.path, path, { recursive: true, preserveTimestamps: true });
  return path;
}

describe("pagestream restore", () => {
  test("restore restores the newest state and says which", async () => {
    const output = scratch.next();
    const { code, stdout, stderr } = await pagestream(["restore", "-o", output, levels.path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(sha256(output)).toBe(latest?.sha256);
    expect(stdout).toContain(`Restored ${output} from ${levels.path}\n`);
    expect(stdout).toMatch(/^ {2}txid {2}0000000000000022 \(the newest\)$/m);
    expect(stdout).toMatch(/^ {2}time {2}\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/m);
    expect(stdout).toMatch(/^ {2}read {2}43\.3 kB from 4 files$/m);
    expect(stdout).not.toContain("\u001b");
    expect(readdirSync(scratch.path).filter((name) => name.startsWith(basename(output)))).toEqual([
      basename(output),
    ]);
  });

  test("restore restores what Litestream 0.3 left, by its times", async () => {
    const recorded = (fixtures["legacy-v0.3.13"] as Fixture).restore.filter((r) => r.sha256);
    for (const { value, sha256: expected } of [recorded[0], recorded[5]] as typeof recorded) {
      const output = scratch.next();
      const flags = value === undefined ? [] : ["-timestamp", value];
      const args = ["restore", ...flags, "-o", output, older.path];
      const { code, stdout, stderr } = await pagestream(args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(sha256(output)).toBe(expected);
      expect(stdout).toMatch(/^ {2}state {2}[0-9a-f]{16}\/[0-9a-f]{8}:[0-9a-f]{16}, written by/m);
    }
    const args = ["restore", "-explain", "-json", "-o", scratch.next(), older.path];
    const plan = JSON.parse((await pagestream(args)).stdout) as { files: { name: string }[] };
    expect(plan).toMatchObject({ legacy: "90d55da72ef6e07d/00000004:0000000000000000" });
    expect(plan.files.map((f) => f.name)[0]).toMatch(/^generations\/.*\.snapshot\.lz4$/);
  });

  test("restore --json has Litestream's fields first, then time and bytes", async () => {
    const output = scratch.next();
    const url = pathToFileURL(levels.path).href;
    const { code, stdout } = await pagestream(["restore", "-json", "-o", output, url]);
    expect(code).toBe(0);
    const summary = JSON.parse(stdout) as Record<string, unknown>;
    expect(Object.keys(summary).slice(0, 5)).toEqual([
      "db_path",
      "replica",
      "txid",
      "duration_ms",
      "integrity_check",
    ]);
    expect(summary).toMatchObject({
      db_path: output,
      replica: "file",
      txid: "0000000000000022",
      integrity_check: "none",
      bytes: latest?.size,
      page_size: 4096,
      newest_txid: "0000000000000022",
    });
    expect(summary["duration_ms"]).toBeTypeOf("number");
    expect(new Date(summary["time"] as string).toISOString()).toBe(summary["time"]);
  });

  test.each(["-txid", "--txid"])("restore %s restores an earlier state", async (flag) => {
    const { value = "", sha256: expected } = byTxid[3] ?? {};
    for (const args of [[flag, value], [`${flag}=${value}`]]) {
      const output = scratch.next();
      const { code, stdout } = await pagestream(["restore", ...args, "-o", output, levels.path]);
      expect(code).toBe(0);
      expect(sha256(output)).toBe(expected);
      expect(stdout).toContain(`txid  ${value} (newest 0000000000000022)`);
    }
  });

  test("restore -timestamp restores the state of that time", async () => {
    const { value = "", sha256: expected } = byTime[2] ?? {};
    const output = scratch.next();
    const args = ["restore", "-timestamp", value, "-o", output, levels.path];
    expect((await pagestream(args)).code).toBe(0);
    expect(sha256(output)).toBe(expected);
  });

  test.each(["quick", "full"])("restore -integrity-check %s lets SQLite check", async (mode) => {
    const output = scratch.next();
    const args = ["restore", "-integrity-check", mode, "-o", output, levels.path];
    const { code, stdout } = await pagestream(args);
    expect(code).toBe(0);
    expect(stdout).toContain(`check  ${mode}: ok`);
  });

  test("restore -dry-run prints the plan and writes nothing", async () => {
    const output = scratch.next();
    const args = ["restore", "-dry-run", "-o", output, levels.path];
    const { code, stdout } = await pagestream(args);
    expect(code).toBe(0);
    expect(existsSync(output)).toBe(false);
    expect(stdout).toContain("Restore plan:\n");
    expect(stdout).toContain("  txid range: 0000000000000001 - 0000000000000022\n");
    const rows = stdout.slice(stdout.indexOf("level  file")).trimEnd().split("\n");
    expect(rows[0]).toMatch(/^level {2}file +min_txid +max_txid +size +timestamp$/);
    expect(rows.slice(1).map((row) => row.split(/ +/).slice(0, 2).join("/"))).toEqual(
      latest?.files,
    );
  });

  test("restore --explain adds the reason for each file", async () => {
    const args = ["restore", "--explain", "-o", scratch.next(), levels.path];
    const text = await pagestream(args);
    expect(text.stdout).toContain("the newest snapshot not after what is wanted");
    const json = JSON.parse((await pagestream([...args, "--json"])).stdout) as {
      readonly files: readonly Record<string, unknown>[];
    };
    expect(json.files.map((file) => typeof file["reason"])).toEqual(Array(4).fill("string"));
  });

  test("restore -dry-run -json has Litestream's fields", async () => {
    const output = scratch.next();
    const args = ["restore", "-dry-run", "-json", "-o", output, levels.path];
    const plan = JSON.parse((await pagestream(args)).stdout) as Record<string, unknown>;
    expect(plan).toMatchObject({
      source: levels.path,
      target_path: output,
      replica: "file",
      min_txid: "0000000000000001",
      max_txid: "0000000000000022",
    });
    const files = plan["files"] as Record<string, unknown>[];
    expect(Object.keys(files[0] ?? {})).toEqual([
      "level",
      "name",
      "min_txid",
      "max_txid",
      "size",
      "timestamp",
    ]);
    expect(files.map((file) => `${file["level"]}/${file["name"]}`)).toEqual(latest?.files);
    expect(existsSync(output)).toBe(false);
  });

  test("restore --progress tells how far it is where there is no terminal", async () => {
    const args = ["restore", "--progress", "-o", scratch.next(), levels.path];
    const { stderr } = await pagestream(args);
    expect(stderr).toMatch(/^ {2}0 % {2}.* page 0 of 11$/m);
    expect(stderr).toMatch(/^100 % {2}43\.3 kB of 43\.3 kB {2}page 11 of 11$/m);
  });
});

describe("pagestream restore refuses", () => {
  const replica = levels.path;
  const output = scratch.next("never.db");

  test.each([
    [
      "no replica",
      ["restore"],
      "database path or replica URL required",
      "pagestream restore -o /path/to/db file:///path/to/replica",
    ],
    [
      "no -o",
      ["restore", "file:///backup/app"],
      "-o is required when restoring from a replica URL",
      "pagestream restore -o /path/to/db file:///backup/app",
    ],
    [
      "a short TXID",
      ["restore", "-txid", "22", "-o", output, replica],
      'invalid value "22" for flag -txid: a TXID is exactly 16 hex digits',
      "-txid 0000000000000022",
    ],
    [
      "a TXID that is no hex",
      ["restore", "-txid=000000000000002g", "-o", output, replica],
      'invalid value "000000000000002g" for flag -txid: a TXID is exactly 16 hex digits',
      undefined,
    ],
    [
      "a bad time",
      ["restore", "-timestamp", "soon", "-o", output, replica],
      "invalid -timestamp, must specify in ISO 8601 format (e.g. 2000-01-01T00:00:00Z)",
      undefined,
    ],
    [
      "TXID and time",
      [
        "restore",
        "-txid",
        "0".repeat(16),
        "-timestamp",
        "2000-01-01T00:00:00Z",
        "-o",
        output,
        replica,
      ],
      "-txid and -timestamp exclude each other",
      undefined,
    ],
    [
      "an unknown check",
      ["restore", "-integrity-check", "half", "-o", output, replica],
      'invalid value "half" for flag -integrity-check: none, quick or full',
      undefined,
    ],
    [
      "an unknown scheme",
      ["restore", "-o", output, "gcs://bucket/app"],
      "Cannot use gcs://bucket/app: gcs:// is no store that is known. Write gs:// instead of gcs://",
      undefined,
    ],
    [
      "a URL of another machine",
      ["restore", "-o", output, "file://host/app"],
      "file://host/app is no file URL of this machine",
      "file:///absolute/path, with three slashes",
    ],
    [
      "a file",
      ["restore", "-o", output, BIN],
      `${BIN} is a file, a replica is a directory`,
      undefined,
    ],
    [
      "an unknown flag",
      ["restore", "-forse", "-o", output, replica],
      "unknown option '--forse'",
      "--force",
    ],
    [
      "a flag without its value",
      ["restore", replica, "-o"],
      "option '-o, --output <path>' argument missing",
      "pagestream restore --help",
    ],
    [
      "two replicas",
      ["restore", "-o", output, "a", "b"],
      "too many arguments for 'restore'. Expected 1 argument but got 2: a, b.",
      "pagestream restore --help",
    ],
  ])("restore refuses %s", async (_, args, message, hint) => {
    const text = await pagestream(args);
    const second = hint === undefined ? "" : `Try: ${hint}\n`;
    expect(text).toMatchObject({ code: 2, stdout: "", stderr: `Error: ${message}\n${second}` });
    const json = await pagestream([...args.slice(0, 1), "--json", ...args.slice(1)]);
    expect(JSON.parse(json.stderr)).toEqual({
      error: { code: "INVALID_ARGUMENT", message, ...(hint === undefined ? {} : { hint }) },
    });
    expect(existsSync(output)).toBe(false);
  });

  test("restore ends with 4 where there is no backup, with 0 if that was allowed", async () => {
    const nowhere = scratch.next("nowhere");
    const { code, stderr } = await pagestream(["restore", "-o", output, nowhere]);
    expect(code).toBe(4);
    expect(stderr).toBe(`Error: Cannot restore ${nowhere}: it holds no LTX files\n`);
    const args = ["restore", "-if-replica-exists", "-o", output, nowhere];
    expect(await pagestream(args)).toMatchObject({ code: 0, stdout: "" });
    const json = await pagestream([...args, "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({ skipped: "no backup found" });
    expect(existsSync(output)).toBe(false);
  });

  test("restore ends with 5 where the target exists, and leaves it alone unless forced", async () => {
    const target = scratch.next();
    writeFileSync(target, "precious");
    const { code, stderr } = await pagestream(["restore", "-o", target, replica]);
    expect(code).toBe(5);
    expect(stderr).toMatch(/^Error: Cannot restore to .*: the file exists/);
    expect(stderr).toContain(`Try: pagestream restore -force -o ${target} ${replica}\n`);
    const json = await pagestream(["restore", "--json", "-o", target, replica]);
    expect(JSON.parse(json.stderr)).toMatchObject({ error: { code: "TARGET_EXISTS" } });
    const allowed = await pagestream(["restore", "-if-db-not-exists", "-o", target, replica]);
    expect(allowed).toMatchObject({ code: 0, stdout: "" });
    expect(readFileSync(target, "utf8")).toBe("precious");
    const off = await pagestream(["restore", "-force=false", "-o", target, replica]);
    expect(off.code).toBe(5);
    expect((await pagestream(["restore", "-force", "-o", target, replica])).code).toBe(0);
    expect(sha256(target)).toBe(latest?.sha256);
  });

  test("restore ends with 5 where the journal of another database is left", async () => {
    const target = scratch.next();
    writeFileSync(`${target}-wal`, "x");
    expect((await pagestream(["restore", "-o", target, replica])).code).toBe(5);
    expect(existsSync(target)).toBe(false);
  });

  test("restore --compat-exit knows only 0 and 1", async () => {
    const target = scratch.next();
    writeFileSync(target, "precious");
    for (const args of [["restore", "-o", target, replica], ["restore"], ["nonsense"], []]) {
      expect((await pagestream([...args, "-compat-exit"])).code).toBe(1);
    }
    const done = ["restore", "-compat-exit", "-o", scratch.next(), replica];
    expect((await pagestream(done)).code).toBe(0);
  });

  test("restore ends with 6 and names the damaged file", async () => {
    const damaged = copyReplica();
    const key = "ltx/1/0000000000000022-0000000000000022.ltx";
    const bytes = readFileSync(join(damaged, key));
    bytes[500] = (bytes[500] as number) ^ 1;
    writeFileSync(join(damaged, key), bytes);
    const { code, stdout, stderr } = await pagestream(["restore", "-o", output, damaged]);
    expect({ code, stdout }).toEqual({ code: 6, stdout: "" });
    expect(stderr).toContain(key);
    expect(stderr).not.toMatch(/^ +at /m);
    const debug = await pagestream(["restore", "-o", output, damaged], {
      env: { PAGESTREAM_DEBUG: "1" },
    });
    expect(debug.stderr).toMatch(/^ +at /m);
    expect(existsSync(output)).toBe(false);
  });

  test("restore ends with 6 where files are missing, and says what can be had", async () => {
    const gap = copyReplica();
    for (const level of readdirSync(join(gap, "ltx"))) {
      for (const name of readdirSync(join(gap, "ltx", level))) {
        const [min, max] = name.slice(0, 33).split("-") as [string, string];
        const covers = min <= "0000000000000012" && max >= "0000000000000012";
        if (covers) rmSync(join(gap, "ltx", level, name));
      }
    }
    const { code, stderr } = await pagestream(["restore", "-o", output, gap]);
    expect(code).toBe(6);
    expect(stderr).toContain("0000000000000012");
    const hint = /^Try: pagestream (.*)$/m.exec(stderr)?.[1] ?? "";
    expect(hint).toContain("-txid 0000000000000011");
    expect((await pagestream(hint.split(" "))).code).toBe(0);
    expect(existsSync(output)).toBe(true);
    rmSync(output);
  });

  test("restore ends with 1 for a TXID that is not there, and names the nearest", async () => {
    const args = ["restore", "-txid", "0000000000000100", "-o", output, replica];
    const { code, stderr } = await pagestream(args);
    expect(code).toBe(1);
    expect(stderr).toContain(
      `Try: pagestream restore -txid 0000000000000022 -o ${output} ${replica}\n`,
    );
    const json = await pagestream([...args, "-json"]);
    expect(JSON.parse(json.stderr)).toMatchObject({ error: { code: "TXID_NOT_AVAILABLE" } });
  });

  test("restore ends with 6 when SQLite finds the restored database broken", async () => {
    const broken = scratch.next("replica");
    const { name, bytes } = buildLtx({ pages: { 1: { seed: 1 }, 2: { seed: 2 } } });
    mkdirSync(join(broken, "ltx/0"), { recursive: true });
    writeFileSync(join(broken, "ltx/0", name), bytes);
    const plain = scratch.next();
    expect((await pagestream(["restore", "-o", plain, broken])).code).toBe(0);
    const args = ["restore", "-integrity-check", "quick", "-o", output, broken];
    const { code, stderr } = await pagestream(args);
    expect(code).toBe(6);
    expect(stderr).toContain("integrity check");
    expect(existsSync(output)).toBe(false);
  });
});

describe("pagestream under an older Node", () => {
  const older = (process.env["PATH"] ?? "")
    .split(":")
    .map((folder) => join(folder, "node"))
    .concat("/usr/bin/node", "/usr/local/bin/node")
    .find((path) => existsSync(path) && !path.includes("node_modules"));

  test.skipIf(older === undefined)("restore works under the Node of the system", async () => {
    const output = scratch.next();
    const node = older as string;
    const done = await pagestream(["restore", "-o", output, levels.path], { node });
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(sha256(output)).toBe(latest?.sha256);
    const again = await pagestream(["restore", "-o", output, levels.path], { node });
    expect(again.code).toBe(5);
  });
});
