/** @module */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { LtxDecoder } from "pagestream/ltx";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Outcome, ROOT, makeScratch, pagestream } from "./command.ts";

const scratch = makeScratch();
const directory = join(scratch.path, "kept", "here");
const litestream = join(ROOT, ".tools/bin/litestream");

interface StateClaim {
  readonly txid: string;
  readonly sha256: string;
  readonly rows: number;
}

interface Claims {
  readonly ok: boolean;
  readonly replica: string;
  readonly replica_url: string;
  readonly database: string;
  readonly transactions: number;
  readonly ltx_files: number;
  readonly ltx_bytes: number;
  readonly newest: StateClaim;
  readonly earlier: StateClaim;
  readonly restore_points: number;
  readonly duration_ms: number;
}

let outcome: Outcome;
let claims: Claims;

beforeAll(async () => {
  outcome = await pagestream(["demo", "--dir", directory, "--keep", "--json"]);
  if (outcome.code === 0) claims = JSON.parse(outcome.stdout) as Claims;
});

afterAll(() => scratch.remove());

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Applies the level 0 files one after another, up to a TXID. */
function replay(replica: string, until: string): Uint8Array {
  const folder = join(replica, "ltx/0");
  let database = new Uint8Array();
  for (const name of readdirSync(folder).sort()) {
    if (name.slice(0, 16) > until) break;
    const decoder = new LtxDecoder({ name });
    decoder.push(readFileSync(join(folder, name)));
    decoder.end();
    decoder.readHeader();
    const { pageSize, commit } = decoder.header;
    const next = new Uint8Array(pageSize * commit);
    next.set(database.subarray(0, next.length));
    while (decoder.next() === "page") next.set(decoder.data, (decoder.pgno - 1) * pageSize);
    database = next;
  }
  return database;
}

describe("pagestream demo", () => {
  test("demo ends well and in time", () => {
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(claims.ok).toBe(true);
    expect(claims.transactions).toBeGreaterThanOrEqual(550);
    expect(claims.duration_ms).toBeLessThan(30_000);
  });

  test("demo claims the files that are there", () => {
    const files = readdirSync(join(claims.replica, "ltx/0"));
    // Where the demonstration runs across a half minute's boundary there are compacted ones too.
    const all = readdirSync(join(claims.replica, "ltx"), { recursive: true, encoding: "utf8" });
    expect(claims.ltx_files).toBe(all.filter((name) => name.endsWith(".ltx")).length);
    expect(claims.restore_points).toBe(files.length);
    expect(files.at(-1)?.slice(17, 33)).toBe(claims.newest.txid);
  });

  test("demo claims the states that the replica holds", () => {
    for (const state of [claims.newest, claims.earlier]) {
      expect(sha256(replay(claims.replica, state.txid))).toBe(state.sha256);
    }
    expect(claims.earlier.txid < claims.newest.txid).toBe(true);
    expect(claims.earlier.sha256).not.toBe(claims.newest.sha256);
  });

  test("demo --keep leaves both databases with the claimed rows", () => {
    const databases = [
      [claims.database, claims.newest],
      [join(directory, "earlier.db"), claims.earlier],
    ] as const;
    for (const [path, state] of databases) {
      expect(sha256(readFileSync(path))).toBe(state.sha256);
      const database = new DatabaseSync(path, { readOnly: true });
      expect(database.prepare("SELECT count(*) AS rows FROM note").get()).toEqual({
        rows: state.rows,
      });
      expect(database.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
      expect(
        database
          .prepare("SELECT count(*) > 0 AS found FROM search WHERE search MATCH 'page'")
          .get(),
      ).toEqual({ found: 1 });
      database.close();
    }
  });

  test.skipIf(!existsSync(litestream))("demo leaves a replica that Litestream restores", () => {
    for (const { txid, sha256: expected } of [claims.newest, claims.earlier]) {
      const output = scratch.next();
      const args = ["restore", "-txid", txid, "-o", output, claims.replica_url];
      const { status, stderr } = spawnSync(litestream, args, { encoding: "utf8" });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(sha256(readFileSync(output))).toBe(expected);
    }
  });

  test("demo wants an empty directory", async () => {
    const used = scratch.next("used");
    mkdirSync(used);
    writeFileSync(join(used, "app.db"), "precious");
    const { code, stdout, stderr } = await pagestream(["demo", "--dir", used]);
    expect({ code, stdout }).toEqual({ code: 5, stdout: "" });
    expect(stderr).toMatch(/it is not empty\nTry: pagestream demo --dir /);
    expect(readdirSync(used)).toEqual(["app.db"]);
  });

  test("demo ends cleanly on SIGINT and takes its folder away", async () => {
    let isSent = false;
    const { code, signal, stdout, stderr } = await pagestream(["demo"], {
      onOutput: (_, child) => {
        if (!isSent) isSent = child.kill("SIGINT");
      },
    });
    const folder = /^Writing (.*)\/app\.db/.exec(stdout)?.[1] ?? "none";
    expect({ code, signal }).toEqual({ code: 130, signal: null });
    expect(stderr).toBe("Interrupted; nothing is left behind\n");
    expect(folder).toContain("pagestream-demo-");
    expect(existsSync(folder)).toBe(false);
  });

  test("demo as npm start runs it tells how to read and remove the replica", async () => {
    const { code, stdout, stderr } = await pagestream(["demo"]);
    const folder = /^Writing (.*)\/app\.db/.exec(stdout)?.[1] ?? "none";
    try {
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(readdirSync(folder)).toEqual(["replica"]);
      expect(stdout).toMatch(/ {2}\d+ transactions {2}txid [0-9a-f]{16} {2}replicated /);
      expect(stdout).toContain("byte for byte the same: SHA-256");
      expect(stdout).toContain(`rm -r ${folder}\n`);
      const line = /pagestream (restore -o \S+ file:\S+)/.exec(stdout)?.[1]?.split(" ") ?? [];
      line[2] = scratch.next();
      expect((await pagestream(line)).code).toBe(0);
      expect(stdout).toMatch(/litestream restore -o \S+ file:\S+\/replica\n/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
