/** @module */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileStore } from "@pagestream/node";
import { encryptedStore } from "pagestream/transports/encrypted";
import { afterAll, describe, expect, test } from "vitest";
import { unpackFixture } from "../interop/fixtures.ts";
import { makeScratch, pagestream } from "./command.ts";

const scratch = makeScratch();
const levels = unpackFixture("levels");

afterAll(() => {
  scratch.remove();
  levels.remove();
});

function copyReplica(): string {
  const path = scratch.next("replica");
  cpSync(levels.path, path, { recursive: true, preserveTimestamps: true });
  return path;
}

interface Shown {
  readonly ok: boolean;
  readonly encrypted: string;
  readonly files: number;
  readonly newest: { readonly txid: string };
  readonly restored?: { readonly txid: string; readonly probes: number };
  readonly faults: readonly {
    readonly code: string;
    readonly file?: string;
    readonly message: string;
  }[];
}

async function verifyJson(...args: string[]): Promise<Shown & { readonly code: number | null }> {
  const { code, stdout } = await pagestream(["verify", "--json", ...args]);
  return { ...(JSON.parse(stdout) as Shown), code };
}

describe("pagestream verify", () => {
  test("verify --restore finds a replica that Litestream wrote sound, and keeps nothing", async () => {
    const temporary = scratch.next("tmp");
    const args = ["verify", "-restore", "--temp-dir", temporary, levels.path];
    const { code, stdout, stderr } = await pagestream(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("newest state: 0000000000000022 of ");
    expect(stdout).toMatch(/^restored 0000000000000022, .*, checked by SQLite$/m);
    expect(stdout).toMatch(/: sound\n$/);
    expect(readdirSync(temporary)).toEqual([]);
  });

  test("verify runs probes, which must be true", async () => {
    const tables = "SELECT count(*) > 0 FROM sqlite_schema";
    const none = "SELECT count(*) > 1000 FROM sqlite_schema";
    const good = await verifyJson("--probe", tables, levels.path);
    expect(good).toMatchObject({ code: 0, ok: true, restored: { probes: 1 } });
    const bad = await verifyJson("--probe", tables, "--probe", none, levels.path);
    expect(bad).toMatchObject({ code: 1, ok: false });
    expect(bad.faults).toEqual([{ code: "PROBE", message: `${none}: found 0` }]);
  });

  test("verify exits with 1 and names the file of each fault", async () => {
    const replica = copyReplica();
    const damaged = join(replica, "ltx/9/0000000000000001-000000000000001b.ltx");
    const bytes = readFileSync(damaged);
    bytes[500] = (bytes[500] as number) ^ 1;
    writeFileSync(damaged, bytes);
    const missing = join(replica, "ltx/0/0000000000000004-0000000000000004.ltx");
    rmSync(missing);
    const { code, ok, faults } = await verifyJson(replica);
    expect({ code, ok }).toEqual({ code: 1, ok: false });
    expect(faults.map(({ file }) => file)).toEqual([damaged, missing]);
    const { stdout } = await pagestream(["verify", "--restore", replica]);
    expect(stdout).toContain(`GAP  ${missing}`);
    expect(stdout).toMatch(/RESTORE {2}.*\n.*the newest state cannot be restored/);
    expect(stdout).toMatch(/: 3 faults\n$/);
  });

  test("verify says that a replica is encrypted, and opens it with the key", async () => {
    const path = scratch.next("encrypted");
    const key = `${path}.key`;
    writeFileSync(key, new Uint8Array(32));
    const keys = { keys: { one: new Uint8Array(32) }, keyId: "one", context: "app" };
    const store = encryptedStore(fileStore(path), keys);
    const name = "ltx/0/0000000000000001-0000000000000001.ltx";
    await store.put(name, readFileSync(join(levels.path, name)));
    const flags = ["--encryption-key", `one=${key}`, "--encryption-context=app"];
    const target = scratch.next("restored.db");
    const restored = await pagestream([...flags, "restore", "-o", target, path]);
    expect(restored).toMatchObject({ code: 0, stderr: "" });
    expect(await verifyJson(...flags, path)).toMatchObject({ code: 0, encrypted: "all" });
    const wrong = await verifyJson("--encryption-key", `one=${key}`, path);
    expect(wrong.code).toBe(1);
    expect(wrong.faults.map(({ code }) => code)).toEqual(["DECRYPT"]);
    const { code, encrypted, faults } = await verifyJson(path);
    expect({ code, encrypted }).toEqual({ code: 1, encrypted: "all" });
    expect(faults[0]).toMatchObject({ code: "LTX_UNSUPPORTED", file: join(path, name) });
    expect((await pagestream(["status", path])).stdout).toContain("(file, encrypted)");
  });

  test("verify exits with another code where it could not look", async () => {
    const nowhere = scratch.next("nowhere");
    expect((await pagestream(["verify", nowhere])).code).toBe(4);
    const legacy = join(scratch.next("legacy"), "generations/0123456789abcdef/snapshots");
    mkdirSync(legacy, { recursive: true });
    writeFileSync(join(legacy, "00000000.snapshot.lz4"), "");
    const unread = await pagestream(["verify", join(legacy, "../../..")]);
    expect(unread).toMatchObject({ code: 9, stderr: expect.stringContaining("Litestream 0.3") });
    expect((await pagestream(["verify"])).code).toBe(2);
    for (const key of ["one", "one=/nowhere/key"]) {
      expect((await pagestream(["verify", "--encryption-key", key, nowhere])).code).toBe(2);
    }
    const server = createServer((_, response) => void response.writeHead(403).end()).listen(
      0,
      "127.0.0.1",
    );
    await once(server.unref(), "listening");
    const { port } = server.address() as AddressInfo;
    const unreachable = await pagestream(["verify", "--json", `http://127.0.0.1:${port}/replica`]);
    server.close();
    expect(unreachable.code).toBe(9);
    const { error } = JSON.parse(unreachable.stderr) as {
      readonly error: { readonly code: string };
    };
    expect(error.code).toBe("STORE");
  });
});

describe("pagestream status", () => {
  test("status shows position, levels, snapshot and lease of a replica", async () => {
    const replica = copyReplica();
    const lease = { generation: 7, expires_at: "2020-01-01T00:00:00Z", owner: "host:1" };
    writeFileSync(join(replica, "lock.json"), JSON.stringify(lease));
    const { code, stdout } = await pagestream(["status", replica]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^newest +0000000000000022 of 20.*Z, [\d,]+ h ago$/m);
    expect(stdout).toMatch(/^snapshot +000000000000001b of 20/m);
    expect(stdout).toMatch(/^lease +free, last held by host:1, generation 7, until 2020-01-01T/m);
    expect(stdout).toMatch(/^level +files +bytes +min_txid +max_txid +first_time +last_time$/m);
    const json = await pagestream(["status", "-json", replica]);
    const shown = JSON.parse(json.stdout) as {
      readonly levels: readonly { readonly level: number }[];
    };
    expect(shown).toMatchObject({
      type: "file",
      newest: { txid: "0000000000000022" },
      snapshot: { txid: "000000000000001b" },
      encrypted: false,
      lease: { owner: "host:1", generation: 7, held: false },
    });
    expect(shown.levels.map(({ level }) => level)).toEqual([0, 1, 2, 3, 9]);
    expect((await pagestream(["status", scratch.next("nowhere")])).code).toBe(4);
  });

  test("status shows of a database what Litestream's does", async () => {
    const path = scratch.next("app.db");
    writeFileSync(path, "");
    const before = await pagestream(["status", "--json", path]);
    expect(JSON.parse(before.stdout)).toEqual([
      { database: path, status: "not initialized", local_txid: "-", wal_size: "0 B" },
    ]);
    const local = join(path, `../.${path.split("/").at(-1)}-litestream`);
    cpSync(levels.path, local, { recursive: true });
    writeFileSync(`${path}-wal`, new Uint8Array(32_000));
    const { stdout } = await pagestream(["status", path]);
    expect(stdout).toMatch(/^database +status +local txid +wal size\n/);
    expect(stdout).toMatch(/ ok +0000000000000022 +32 kB\n$/);
  });
});

describe("pagestream points", () => {
  test("points lists the states that can be restored, newest first", async () => {
    const { code, stdout } = await pagestream(["points", "-json", levels.path]);
    expect(code).toBe(0);
    const rows = JSON.parse(stdout) as { readonly txid: string; readonly timestamp: string }[];
    expect(rows[0]?.txid).toBe("0000000000000022");
    expect(rows.map(({ txid }) => txid)).toEqual(
      rows
        .map(({ txid }) => txid)
        .toSorted()
        .reverse(),
    );
    const some = await pagestream(["points", "-limit", "2", levels.path]);
    expect(some.stdout.split("\n")[0]).toMatch(/^txid +timestamp +level +size$/);
    expect(
      some.stdout
        .trimEnd()
        .split("\n")
        .slice(1)
        .map((line) => line.slice(0, 16)),
    ).toEqual(rows.slice(0, 2).map(({ txid }) => txid));
    expect(some.stderr).toBe(`2 of ${rows.length} restore points\n`);
    const target = scratch.next("restored.db");
    const txid = rows.at(-1)?.txid as string;
    expect((await pagestream(["restore", "-o", target, "-txid", txid, levels.path])).code).toBe(0);
  });

  test("points refuses limits that are none, and says where nothing is", async () => {
    for (const limit of ["0", "1.5"]) {
      expect((await pagestream(["points", `-limit=${limit}`, levels.path])).code).toBe(2);
    }
    const { code, stdout, stderr } = await pagestream(["points", "-json", scratch.next("none")]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "[]\n" });
    expect(stderr).toBe("");
    expect((await pagestream(["points"])).code).toBe(2);
  });
});
