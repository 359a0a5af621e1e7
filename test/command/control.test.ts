/** @module */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeWithLitestream, litestream } from "../helpers/litestream.ts";
import { makeScratch, pagestream } from "./command.ts";
import { killRunning, restored, type Running, startReplicate, write } from "./running-daemon.ts";

const scratch = makeScratch();
afterAll(() => scratch.remove());
afterEach(killRunning);

let database: string;
let other: string;
let replica: string;
let socket: string;
let file: string;
let state: string;
beforeEach(() => {
  database = scratch.next("app.db");
  other = scratch.next("other.db");
  replica = scratch.next("replica");
  socket = scratch.next("d.sock");
  file = scratch.next("litestream.yml");
  state = scratch.next("state.json");
  for (const path of [database, other]) write(path, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  writeFileSync(
    file,
    `socket: {enabled: true, path: ${socket}}
pagestream: {state-file: ${state}}
dbs: [{path: ${database}, replica: {path: ${replica}}}]`,
  );
});

async function begin(): Promise<Running> {
  const running = startReplicate(["-config", file]);
  await running.until(/replicating to/);
  return running;
}

/** What a command prints with `-json`. */
async function ask(command: string, ...args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await pagestream([command, "-socket", socket, "-json", ...args]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as unknown;
}

const TIME: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

describe("commands that ask a daemon", () => {
  test("a database is listed, stopped, started and synced", async () => {
    await begin();
    const replicating = { path: database, status: "replicating", last_sync_at: TIME };
    expect(await ask("list")).toEqual({ databases: [replicating] });
    expect(await ask("stop", database)).toEqual({
      status: "stopped",
      db_path: database,
      state: "stopped",
      txid: 1,
      socket,
    });
    expect(await ask("stop", database)).toMatchObject({ status: "already_stopped" });
    const stopped = await pagestream(["sync", "-socket", socket, database]);
    expect(stopped.code).toBe(1);
    expect(stopped.stderr).toBe(`Error: sync failed: database not open: ${database}\n`);
    write(database, "INSERT INTO t VALUES (2)");
    expect(await ask("start", database)).toMatchObject({ status: "started", state: "running" });
    expect(await ask("start", database)).toMatchObject({ status: "already_running" });
    expect(await ask("sync", "-wait", database)).toEqual({
      db_path: database,
      txid: 2,
      replica_txid: 2,
      duration_ms: expect.any(Number),
    });
    expect(await restored(replica, scratch.next("copy.db"))).toEqual([1, 2]);
  });

  test("a database is registered for good, and unregistered", async () => {
    const running = await begin();
    const into = `file://${scratch.next("into")}`;
    const registered = { status: "registered", db_path: other, replica: into, socket };
    expect(await ask("register", "-replica", into, other)).toEqual(registered);
    const again = ["register", "-socket", socket, "-replica", into, other];
    expect((await pagestream(again)).stdout).toBe(
      `status: already registered\ndb_path: ${other}\nreplica: ${into}\nsocket: ${socket}\n`,
    );
    expect(JSON.parse(readFileSync(state, "utf8"))).toEqual({
      databases: [{ path: other, replica: into }],
    });
    await running.end("SIGTERM");
    const next = await begin();
    await next.until(/replicating to/, 2);
    write(other, "INSERT INTO t VALUES (2)");
    const unregistered = { status: "unregistered", db_path: other, final_txid: 2, socket };
    expect(await ask("unregister", other)).toEqual(unregistered);
    expect(await ask("unregister", other)).toMatchObject({ status: "already_unregistered" });
    expect(await restored(into.slice("file://".length), scratch.next("copy.db"))).toEqual([1, 2]);
    const bad = await pagestream(["register", "-socket", socket, "-replica", "bogus://x", other]);
    expect(bad.code).toBe(1);
    expect(bad.stderr).toMatch(/^Error: register failed: invalid replica url: .*bogus/);
  });

  test("unregister -dry-run asks nobody", async () => {
    const line = ["unregister", "-dry-run", "-socket", socket, "app.db"];
    const { code, stdout } = await pagestream(line, { cwd: scratch.path });
    expect(code).toBe(0);
    expect(stdout).toContain(`  database: ${scratch.path}/app.db\n  socket: ${socket}\n`);
    expect(stdout).toMatch(/No unregister request was sent\.\n$/);
  });

  test("a failure is one line, or an object with -json", async () => {
    const { code, stderr } = await pagestream(["list", "-socket", socket, "-json"]);
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toEqual({
      error: { code: "CONTROL", message: expect.stringContaining("failed to connect") },
    });
    const many = await pagestream(["sync", "-socket", socket, "a", "b"]);
    expect(many.code).toBe(2);
    expect(many.stderr).toMatch(/^Error: too many arguments/);
  });
});

describeWithLitestream("real Litestream's commands", () => {
  test("they get from this daemon what ours print", async () => {
    await begin();
    const lines = [
      ["list"],
      ["stop", database],
      ["start", database],
      ["unregister", "/no.db"],
      ["start", "/no.db"],
      ["sync", "/no.db"],
    ];
    for (const [command = "", ...args] of lines) {
      const line = [command, "-socket", socket, ...args];
      const theirs = await litestream(...line);
      const reset = { stop: "start", start: "stop" }[command];
      if (reset !== undefined && args[0] === database) await ask(reset, database);
      const { code, stdout, stderr } = await pagestream(line);
      expect({ code, stdout, stderr }).toEqual({
        ...theirs,
        stdout: theirs.stdout.replace(
          /last sync: [^)]+/,
          /last sync: [^)]+/.exec(stdout)?.[0] ?? "",
        ),
      });
    }
    const { stdout } = await litestream("sync", "-wait", "-socket", socket, database);
    expect(stdout).toMatch(/^db_path: .*\ntxid: 1\nreplica_txid: 1\nduration_ms: \d+\n$/);
    const info = await litestream("info", "-json", "-socket", socket);
    expect(JSON.parse(info.stdout)).toEqual({
      version: expect.any(String),
      pid: expect.any(Number),
      uptime_seconds: expect.any(Number),
      started_at: TIME,
      database_count: 1,
    });
  });
});
