/** @module */
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lockDatabase } from "../../adapters/files/file-lock.ts";
import { nodeSqlite } from "../../adapters/files/native-sqlite.ts";
import { type Fixture, fixtures, unpackFixture } from "../interop/fixtures.ts";
import { makeScratch, type Outcome, pagestream } from "./command.ts";

const scratch = makeScratch();
const levels = unpackFixture("levels");
const latest = (fixtures["levels"] as Fixture).restore.find((r) => r.kind === "latest");
const database = join(scratch.path, "app.db");
const other = join(scratch.path, "dir/tenant.db");
const config = join(scratch.path, "litestream.yml");
const empty = join(scratch.path, "empty.yml");
const NEWEST = "0000000000000022";

beforeAll(() => {
  mkdirSync(join(scratch.path, "dir"));
  writeFileSync(empty, "dbs: []\n");
  writeFileSync(
    config,
    `dbs:
  - path: ${database}
    replica: { type: file, path: ${levels.path} }
  - dir: ${join(scratch.path, "dir")}
    pattern: "*.db"
    watch: true
    replica: { type: file, path: "$BACKUPS" }
`,
  );
});

afterAll(() => {
  scratch.remove();
  levels.remove();
});

const env = { BACKUPS: join(scratch.path, "backups"), LITESTREAM_CONFIG: undefined };

function run(...args: readonly string[]): Promise<Outcome> {
  return pagestream(args, { env, cwd: scratch.path });
}

/** The rows of a table, as cells. */
function rows({ code, stdout, stderr }: Outcome): readonly (readonly string[])[] {
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd().split(/ {2,}/));
}

describe("commands that read the configuration", () => {
  test("restore takes a database of the configuration, and puts it back where it was", async () => {
    const first = await run("restore", "-config", config, database);
    const [again, named] = await Promise.all([
      run("restore", "-config", config, database),
      // From the environment, by a relative path, to another place.
      pagestream(["restore", "-o", "copy.db", "-json", "./app.db"], {
        env: { LITESTREAM_CONFIG: config },
        cwd: scratch.path,
      }),
    ]);
    expect(first).toMatchObject({ code: 0, stderr: "" });
    const sha256 = createHash("sha256").update(readFileSync(database)).digest("hex");
    expect(sha256).toBe(latest?.sha256);
    expect(again.code).toBe(5);
    const hint = `pagestream restore -force -config ${config} -o ${database} ${database}`;
    expect(again.stderr).toContain(`Try: ${hint}\n`);
    expect(JSON.parse(named.stdout)).toMatchObject({ db_path: "copy.db", txid: NEWEST });
    expect(readFileSync(join(scratch.path, "copy.db")).equals(readFileSync(database))).toBe(true);
  });

  test("restore takes a database of a directory that was lost, and refuses what the pattern does not name", async () => {
    const lost = join(scratch.path, "dir/lost.db");
    cpSync(levels.path, join(env.BACKUPS, "lost.db"), { recursive: true });
    const [found, unknown] = await Promise.all([
      run("restore", "-config", config, lost),
      run("restore", "-config", config, join(scratch.path, "dir/lost.sqlite")),
    ]);
    expect(found).toMatchObject({ code: 0, stderr: "" });
    const sha256 = createHash("sha256").update(readFileSync(lost)).digest("hex");
    expect(sha256).toBe(latest?.sha256);
    expect(unknown.code).toBe(3);
    expect(unknown.stderr).toContain("database not found in config");
    rmSync(lost);
  });

  test("databases lists the entries, and what lies in directories", async () => {
    cpSync(database, other);
    const [table, json, none] = await Promise.all([
      run("databases", "-config", config),
      run("databases", "-config", config, "-json"),
      run("databases", "-config", empty, "-json"),
    ]);
    expect(rows(table)).toEqual([
      ["path", "replica"],
      [database, "file"],
      [other, "file"],
    ]);
    expect(JSON.parse(json.stdout)).toEqual([
      { path: database, replica: "file" },
      { path: other, replica: "file" },
    ]);
    expect(none.stdout).toBe("[]\n");
  });

  test("ltx and its old name wal, points and verify take a database of the configuration", async () => {
    const args = ["-config", config, database];
    const [ltx, wal, points, verify] = await Promise.all([
      run("ltx", "-json", ...args),
      run("wal", "-json", ...args),
      run("points", "-limit", "1", ...args),
      run("verify", ...args),
    ]);
    const [file] = JSON.parse(ltx.stdout) as object[];
    const fields = ["level", "min_txid", "max_txid", "size", "timestamp"];
    expect(Object.keys(file ?? {})).toEqual(fields);
    expect(wal.stdout).toBe(ltx.stdout);
    expect(wal.stderr).toBe("Warning: 'wal' command is deprecated, please use 'ltx' instead\n");
    expect(points.stdout.split("\n")[1]).toMatch(new RegExp(`^${NEWEST} `));
    expect(verify).toMatchObject({ code: 0, stdout: expect.stringContaining("sound") });
  });

  test("status tells what is here, what the replica has, and what lies between", async () => {
    // As it was when its newest file was written.
    const { stdout } = await run("points", "-limit", "1", "-json", levels.path);
    const [{ timestamp }] = JSON.parse(stdout) as [{ timestamp: string }];
    utimesSync(database, new Date(timestamp), new Date(timestamp));
    const [table, json, offline, none] = await Promise.all([
      run("status", "-config", config),
      run("status", "-config", config, "-json"),
      run("status", "-config", config, "-offline", database),
      run("status", "-config", empty, "-json"),
    ]);
    const [head, first] = rows(table);
    expect(head?.slice(0, 4)).toEqual(["database", "status", "local txid", "wal size"]);
    expect(head?.slice(4)).toEqual(["replicated txid", "lag", "pending", "last error"]);
    expect(first).toEqual([database, "not initialized", "-", "0 B", NEWEST, "0 s", "0 B"]);
    const all = JSON.parse(json.stdout) as object[];
    expect(all[0]).toEqual({
      database,
      status: "not initialized",
      local_txid: "-",
      wal_size: "0 B",
      replicated_txid: NEWEST,
      lag_seconds: 0,
      pending_bytes: 0,
      error: null,
    });
    expect(all[1]).toMatchObject({ database: other, replicated_txid: "-", lag_seconds: null });
    expect(rows(offline)).toEqual([head?.slice(0, 4), [database, "not initialized", "-", "0 B"]]);
    expect(none.stdout).toBe("[]\n");
  });

  test("status counts what waits for its upload, and how long it has waited", async () => {
    const folder = join(scratch.path, ".app.db-pagestream/ltx/0");
    mkdirSync(folder, { recursive: true });
    const staged = join(folder, "0000000000000023-0000000000000023.ltx");
    writeFileSync(staged, new Uint8Array(1234));
    const at = new Date(Date.now() - 90_000);
    utimesSync(staged, at, at);
    const { stdout } = await run("status", "-config", config, "-json", "app.db");
    const [row, ...others] = JSON.parse(stdout) as [{ lag_seconds: number }, ...object[]];
    expect(others).toEqual([]);
    expect(row).toMatchObject({
      status: "ok",
      local_txid: "0000000000000023",
      replicated_txid: NEWEST,
      pending_bytes: 1234,
    });
    expect(row.lag_seconds).toBeGreaterThanOrEqual(90);
    expect(row.lag_seconds).toBeLessThan(150);
  });

  test("status tells why a replica cannot be asked", async () => {
    const broken = join(scratch.path, "broken.yml");
    const loop = join(scratch.path, "loop");
    symlinkSync("loop", loop);
    writeFileSync(broken, `dbs: [{ path: ${database}, replica: { path: ${loop} } }]\n`);
    const { code, stdout } = await run("status", "-config", broken, "-json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual([
      expect.objectContaining({ replicated_txid: "-", error: expect.stringContaining("ELOOP") }),
    ]);
  });

  test("reset removes what is known here, and nothing else", async () => {
    const state = join(scratch.path, ".app.db-pagestream");
    const staged = join(state, "ltx/0/0000000000000023-0000000000000023.ltx");
    mkdirSync(join(state, "ltx/0"), { recursive: true });
    for (const file of [staged, join(state, "marker"), join(state, "mine")])
      writeFileSync(file, "");
    const dry = await run("reset", "-config", config, "-dry-run", database);
    expect(dry).toMatchObject({ code: 0, stderr: "" });
    expect(dry.stdout).toContain(`\n  ${staged}\nNo files were removed.\n`);
    expect(existsSync(staged)).toBe(true);
    const lock = lockDatabase(database, nodeSqlite, { besideNative: true });
    const refused = await run("reset", database);
    lock.release();
    const told = `Cannot reset ${database}: a running process replicates it`;
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(told) });
    expect(existsSync(staged)).toBe(true);
    const real = await run("reset", database);
    expect(real).toMatchObject({ code: 0, stdout: expect.stringContaining("Reset complete") });
    expect([staged, join(state, "marker"), join(state, "mine"), database].map(existsSync)).toEqual([
      false,
      false,
      true,
      true,
    ]);
    const again = await run("reset", database);
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining("nothing to reset") });
    rmSync(state, { recursive: true });
  });

  test("what is wrong is told in a line or two, with the exit code of its kind", async () => {
    const nowhere = ["-config", "/nowhere.yml"];
    const known = ["-config", config];
    const refusals = [
      [["databases", "x"], 2, "too many arguments"],
      [["reset"], 2, "database path required"],
      [["reset", "/nowhere.db"], 1, "database does not exist: /nowhere.db"],
      [["databases", ...nowhere], 3, "config file not found"],
      [["status", ...nowhere], 3, "config file not found"],
      [["restore", ...known, "/nowhere.db"], 3, "database not found in config: /nowhere.db"],
      [["restore", ...known, "file:///x"], 2, "cannot specify a replica URL and the -config flag"],
    ] as const;
    const check = async ([args, expected, message]: (typeof refusals)[number]): Promise<void> => {
      const { code, stdout, stderr } = await run(...args);
      expect({ code, stdout }).toEqual({ code: expected, stdout: "" });
      expect(stderr).toMatch(/^Error: .*\n(?:Try: .*\n)?$/);
      expect(stderr).toContain(message);
    };
    await Promise.all(refusals.map(check));
  });
});
