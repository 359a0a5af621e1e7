/**
 * `pagestream` against `litestream` on one S3 server: upload and restore of a database, whole processes in turn, with
 * requests and bytes; and what `groupMs` costs and brings.
 *
 * usage: node bench/stores/run.ts [--runs N] [--megabytes N] [--only upload,restore,groups]
 *
 * Needs `npm run build` and `node scripts/tools.mjs litestream python weed`. Every restored file is compared. Requests
 * are counted in runs of their own, by a proxy.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { faultProxy } from "../../test/helpers/fault-proxy.ts";
import { makeBucket, s3Options } from "../../test/stores/s3-kit.ts";
import { startServers } from "../../test/servers/start.ts";
import { describeMachine } from "../harness.ts";
import { measureProgram, median, type ProgramRun } from "../process.ts";
import { fillSample } from "../restore/sample-replica.ts";
import { measureGroups } from "./groups.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const litestream = join(root, ".tools/bin/litestream");
const node = join(root, "node_modules/node/bin/node");

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "5" },
    megabytes: { type: "string", default: "200" },
    only: { type: "string", default: "upload,restore,groups" },
  },
});
const only = values.only.split(",");
const runs = Number(values.runs);

const folder = mkdtempSync(join(tmpdir(), "pagestream-bench-stores-"));
const running = await startServers(["seaweedfs"]);
try {
  const state = running.servers["seaweedfs"];
  if (state === undefined || !("address" in state)) throw new Error("SeaweedFS is not installed");
  const { address } = state;
  const env = {
    AWS_ACCESS_KEY_ID: address["accessKeyId"],
    AWS_SECRET_ACCESS_KEY: address["secretAccessKey"],
    // The Go client refuses to start with it.
    AWS_CA_BUNDLE: undefined,
  };
  await makeBucket(s3Options(address, "bench"));
  const at = (path: string, endpoint = address["endpoint"]): string =>
    `s3://bench/${path}?endpoint=${endpoint}&region=us-east-1&forcePathStyle=true`;

  const database = join(folder, "source.db");
  makeDatabase(database, Number(values.megabytes) * 1e6);
  const version = execFileSync(litestream, ["version"], { encoding: "utf8" }).trim();
  console.log(`${describeMachine()}; litestream ${version}; SeaweedFS over loopback`);
  console.log(`${(statSync(database).size / 1e6).toFixed(1)} MB database, ${runs} runs`);

  const contestants = [
    {
      name: "pagestream",
      upload: [node, join(root, "bench/stores/upload.ts")],
      restore: [node, join(root, "adapters/node/bin/pagestream.mjs"), "restore"],
    },
    {
      name: "litestream",
      upload: [litestream, "replicate", "-once"],
      restore: [litestream, "restore"],
    },
  ];
  let count = 0;

  if (only.includes("upload")) {
    const upload = (command: readonly string[], endpoint?: string): Promise<ProgramRun> => {
      forget(database);
      const url = at(`upload-${++count}`, endpoint);
      return measureProgram([...command, database, url], { env });
    };
    const results = contestants.map(() => [] as ProgramRun[]);
    for (let round = 0; round < runs; round++) {
      for (const [i, each] of contestants.entries()) results[i]!.push(await upload(each.upload));
    }
    print("upload of a database that was never uploaded", results);
    for (const { name, upload: command } of contestants) {
      await counted(name, (endpoint) => upload(command, endpoint));
    }
  }

  if (only.includes("restore")) {
    forget(database);
    await measureProgram([litestream, "replicate", "-once", database, at("restore")], { env });
    const output = join(folder, "restored.db");
    const digests = new Set<string>();
    const restore = async (command: readonly string[], endpoint?: string): Promise<ProgramRun> => {
      execFileSync("sync");
      const run = await measureProgram([...command, "-o", output, at("restore", endpoint)], {
        env,
      });
      digests.add(createHash("sha256").update(readFileSync(output)).digest("hex"));
      for (const suffix of ["", "-wal", "-shm", ".tmp"]) rmSync(output + suffix, { force: true });
      return run;
    };
    const results = contestants.map(() => [] as ProgramRun[]);
    for (let round = 0; round < runs; round++) {
      for (const [i, each] of contestants.entries()) results[i]!.push(await restore(each.restore));
    }
    print("restore of it", results);
    for (const { name, restore: command } of contestants) {
      await counted(name, (endpoint) => restore(command, endpoint));
    }
    if (digests.size !== 1) throw new Error("The restored databases are not the same");
  }

  if (only.includes("groups")) {
    console.log("\ncommits of one row, 20 a second for 5 s, in memory");
    for (const groupMs of [1000, 100, 10]) {
      const result = await measureGroups(address, { groupMs, path: `groups-${groupMs}` });
      console.log(
        `  groupMs ${String(groupMs).padStart(4)}  ${result.puts} PUTs for ${result.commits} commits, ` +
          `from commit to confirmation ${result.p50.toFixed(0)} ms (p50), ${result.p99.toFixed(0)} ms (p99)`,
      );
    }
  }

  function print(title: string, results: readonly ProgramRun[][]): void {
    console.log(`\n${title}`);
    const theirs = median(results[1]!.map(({ wall }) => wall));
    for (const [i, { name }] of contestants.entries()) {
      const walls = results[i]!.map(({ wall }) => wall).toSorted((a, b) => a - b);
      const cpu = median(results[i]!.map(({ user, system }) => user + system));
      const memory = Math.max(...results[i]!.map((run) => run.memory));
      console.log(
        `  ${name.padEnd(12)} ${median(walls).toFixed(2)} s (${walls[0]!.toFixed(2)} to ${walls.at(-1)!.toFixed(2)}), ` +
          `${cpu.toFixed(2)} s of CPU, ${memory.toFixed(0)} MB  ${(theirs / median(walls)).toFixed(2)} x`,
      );
    }
  }

  /** One run through a proxy that counts. */
  async function counted(name: string, run: (endpoint: string) => Promise<unknown>): Promise<void> {
    const proxy = await faultProxy(address["endpoint"]!);
    try {
      await run(proxy.url);
      const kinds = new Map<string, number>();
      for (const { method, path } of proxy.requests) {
        const kind = path.includes("list-type=2") ? "LIST" : method;
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      }
      const text = [...kinds].map(([kind, times]) => `${times} ${kind}`).join(", ");
      const { received, sent } = proxy.bytes;
      console.log(
        `  ${name.padEnd(12)} ${text}; ${mb(received)} MB to the server, ${mb(sent)} MB from it`,
      );
    } finally {
      await proxy.close();
    }
  }
} finally {
  await running.end();
  rmSync(folder, { recursive: true, force: true });
}

/** As an application has it, and as Litestream wants it: in WAL mode. */
function makeDatabase(path: string, size: number): void {
  const db = new DatabaseSync(path);
  fillSample(db, Math.round(size / 506));
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  db.close();
}

/** Removes what either keeps beside a database and in it, so that each upload is a first one. */
function forget(path: string): void {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  db.close();
  for (const name of [`.${"source.db"}-litestream`, `.${"source.db"}-pagestream`]) {
    rmSync(join(path, "..", name), { recursive: true, force: true });
  }
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
