/** @module */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeScratch, pagestream } from "./command.ts";
import { killRunning, restored, rows, startReplicate, write } from "./running-daemon.ts";

const scratch = makeScratch();
afterAll(() => scratch.remove());
afterEach(killRunning);

let database: string;
let replica: string;
let copy: string;
beforeEach(() => {
  database = scratch.next("app.db");
  replica = scratch.next("replica");
  copy = scratch.next("copy.db");
});

/** A port at which nobody listens. */
const NOWHERE = "webdav://127.0.0.1:9/replica";

function config(text: string): string {
  const path = scratch.next("litestream.yml");
  writeFileSync(path, text);
  return path;
}

describe("pagestream replicate", () => {
  test("replicate takes what other processes write until a signal, and uploads the rest", async () => {
    write(database, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const running = startReplicate(["-log-level", "debug", database, replica]);
    await running.until(/ltx file uploaded/);
    write(database, "INSERT INTO t VALUES (2)");
    await running.until(/ltx file uploaded/, 2);
    write(database, "INSERT INTO t VALUES (3)");
    const { code, stdout } = await running.end("SIGTERM");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(running.log).toMatch(/signal=SIGTERM\n(?:.*\n)*.*msg="pagestream shut down"\n$/);
    expect(await restored(replica, copy)).toEqual([1, 2, 3]);
  });

  test("replicate waits for a database that is not there, and switches it to WAL", async () => {
    const running = startReplicate([database, replica]);
    await running.until(/cannot replicate yet/);
    write(database, "PRAGMA journal_mode=delete; CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await running.until(/replicating to/);
    expect((await running.end("SIGINT")).code).toBe(0);
    expect(await restored(replica, copy)).toEqual([1]);
  });

  test("replicate -restore-if-db-not-exists restores first, and continues", async () => {
    write(database, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const once = ["replicate", "-once", database, replica];
    expect((await pagestream(once)).code).toBe(0);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${database}${suffix}`, { force: true });
    const running = startReplicate(["-restore-if-db-not-exists", database, replica]);
    await running.until(/database restored/);
    await running.until(/replicating to/);
    expect(rows(database)).toEqual([1]);
    write(database, "INSERT INTO t VALUES (2)");
    expect((await running.end("SIGTERM")).code).toBe(0);
    expect(await restored(replica, copy)).toEqual([1, 2]);
  });

  test("replicate ends with 8 where something is left, and at once on a second signal", async () => {
    write(database, "CREATE TABLE t(a)");
    const socket = scratch.next("socket");
    const file = config(
      `shutdown-sync-timeout: 30s
socket: {enabled: true, path: ${socket}}
dbs: [{path: ${database}, replica: {url: "${NOWHERE}"}}]`,
    );
    const running = startReplicate(["-config", file]);
    await running.until(/initialized db/);
    expect(existsSync(socket)).toBe(true);
    running.child.kill("SIGTERM");
    await running.until(/signal received/);
    // Nobody is answered any more while the last upload is still tried.
    await expect.poll(() => existsSync(socket), { timeout: 10_000 }).toBe(false);
    expect(running.child.exitCode).toBe(null);
    const { code } = await running.end("SIGINT");
    expect(code).toBe(8);
    expect(running.log).toContain("second signal received");
    const short = config(
      `shutdown-sync-timeout: 0s\ndbs: [{path: ${database}, replica: {url: "${NOWHERE}"}}]`,
    );
    const again = startReplicate(["-config", short, "-compat-exit"]);
    await again.until(/initialized db/);
    expect((await again.end("SIGTERM")).code).toBe(1);
    expect(again.log).toContain('msg="final sync incomplete"');
  });

  test("replicate takes databases of a directory as they come and go", async () => {
    const dir = scratch.next("tenants");
    mkdirSync(dir);
    write(join(dir, "one.db"), "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    writeFileSync(join(dir, "notes.db"), "no database");
    const file = config(
      `dbs: [{dir: ${dir}, pattern: "*.db", recursive: true, watch: true, replica: {path: ${replica}}}]`,
    );
    const running = startReplicate(["-config", file]);
    await running.until(/replicating to.*one\.db/);
    mkdirSync(join(dir, "below"));
    write(join(dir, "below/two.db"), "CREATE TABLE t(a); INSERT INTO t VALUES (2)");
    await running.until(/replicating to.*two\.db/);
    for (const suffix of ["", "-wal", "-shm"]) {
      rmSync(join(dir, `one.db${suffix}`), { force: true });
    }
    await running.until(/database unregistered/);
    write(join(dir, "below/two.db"), "INSERT INTO t VALUES (3)");
    await running.end("SIGTERM");
    expect(running.log).not.toContain("notes.db");
    expect(await restored(join(replica, "below/two.db"), copy)).toEqual([2, 3]);
    expect(await restored(join(replica, "one.db"), copy)).toEqual([1]);
  });

  test("replicate waits while another one replicates the database, and follows it", async () => {
    write(database, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const first = startReplicate([database, replica]);
    await first.until(/replicating to/);
    const second = startReplicate([database, replica]);
    await second.until(/cannot replicate yet.*DATABASE_LOCKED/);
    first.child.kill("SIGKILL");
    await second.until(/replicating to/);
    write(database, "INSERT INTO t VALUES (2)");
    expect((await second.end("SIGTERM")).code).toBe(0);
    expect(await restored(replica, copy)).toEqual([1, 2]);
  });

  test("replicate tells that no database is configured, and runs all the same", async () => {
    const running = startReplicate([], { LITESTREAM_CONFIG: config("dbs: []") });
    await running.until(/level=ERROR msg="no databases specified in configuration"/);
    expect((await running.end("SIGTERM")).code).toBe(0);
  });

  test("replicate ends with 3 where the configuration is wrong", async () => {
    const { code, stderr } = await pagestream(["replicate", "-config", scratch.next("no.yml")]);
    expect(code).toBe(3);
    expect(stderr).toContain("config file not found");
  });
});

describe("pagestream replicate -once", () => {
  test("-once uploads and ends; -force-snapshot adds a snapshot", async () => {
    write(database, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const args = ["replicate", "-once", "-force-snapshot", "-enforce-retention", database, replica];
    const { code, stderr } = await pagestream(args);
    expect(stderr).toContain("msg=replicated");
    expect(code).toBe(0);
    expect(readdirSync(join(replica, "ltx/9"))).toHaveLength(1);
    expect(await restored(replica, copy)).toEqual([1]);
  });

  test("-once ends with the first failure, and leaves the rest", async () => {
    const other = scratch.next("other");
    write(database, "CREATE TABLE t(a)");
    const file = config(`dbs:
  - {path: ${scratch.next("missing.db")}, replica: {path: ${replica}}}
  - {path: ${database}, replica: {path: ${other}}}`);
    const { code, stderr } = await pagestream(["replicate", "-once", "-config", file]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/Error: Cannot replicate .*missing\.db: there is no such file\n$/);
    expect(existsSync(other)).toBe(false);
  });
});

describe("pagestream replicate -exec", () => {
  /** A program that writes into the database when it gets SIGTERM, and then ends with a code of its own. */
  function application(code: number): string {
    const script = scratch.next("app.cjs");
    writeFileSync(
      script,
      `const { DatabaseSync } = require("node:sqlite");
      const db = new DatabaseSync(process.argv[2], { timeout: 5000 });
      db.exec("PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES (1)");
      process.on("SIGTERM", () => {
        db.exec("INSERT INTO t VALUES (2)");
        process.exit(${code});
      });
      console.log("ready", process.argv[3]);
      setInterval(() => {}, 1000);`,
    );
    return script;
  }

  test("-exec forwards a signal, uploads what the child writes then, and passes its code on", async () => {
    const command = `${process.execPath} ${application(143)} ${database} "two words"`;
    const running = startReplicate(["-exec", command, database, replica]);
    await running.until(/ready two words\n/);
    const { code, stdout } = await running.end("SIGTERM");
    expect({ code, stdout }).toEqual({ code: 143, stdout: "ready two words\n" });
    expect(await restored(replica, copy)).toEqual([1, 2]);
  });

  test.each([
    ["its code, when the child fails by itself", "process.exit(7)", 7],
    ["0, when the child is done", "0", 0],
    [
      "that of the signal, when something kills the child",
      "process.kill(process.pid, 'SIGKILL')",
      137,
    ],
  ])("-exec ends with %s, and with all that was written", async (_, end, expected) => {
    const script = scratch.next("short.cjs");
    writeFileSync(
      script,
      `const { DatabaseSync } = require("node:sqlite");
      const db = new DatabaseSync(process.argv[2], { timeout: 5000 });
      db.exec("INSERT INTO t VALUES (2)");
      ${end};`,
    );
    write(database, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const command = `'${process.execPath}' ${script} ${database}`;
    const { code } = await startReplicate(["-exec", command, database, replica]).end();
    expect(code).toBe(expected);
    expect(await restored(replica, copy)).toEqual([1, 2]);
  });

  test("-exec tells what it cannot start", async () => {
    write(database, "CREATE TABLE t(a)");
    const args = ["replicate", "-exec", "/no/such/program", database, replica];
    const { code, stderr } = await pagestream(args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/Error: cannot exec \/no\/such\/program: ENOENT\n$/);
  });
});
