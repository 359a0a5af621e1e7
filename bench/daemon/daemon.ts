/**
 * A running daemon and what the kernel counts of it: of Litestream or of Pagestream, which read the same configuration.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const node = join(root, "node_modules/node/bin/node");
export const litestream: string = join(root, ".tools/bin/litestream");
export const pagestream: readonly string[] = [node, join(root, "adapters/node/bin/pagestream.mjs")];

/** Who replicates, and how often; the daemon's own default when left out. */
export interface Contestant {
  readonly name: string;
  readonly command: readonly string[];
  readonly syncInterval?: string;
}

/** A database and the directory that is its replica. */
export interface Place {
  readonly path: string;
  readonly replica: string;
}

/** Number of the newest L0 file of a replica; 0 without one. */
export function newestTxid(replica: string): number {
  return Math.max(0, ...l0Files(replica).map((name) => Number.parseInt(name.slice(17, 33), 16)));
}

/** Names of the L0 files of a replica. */
function l0Files(replica: string): string[] {
  try {
    return readdirSync(join(replica, "ltx/0")).filter((name) => name.endsWith(".ltx"));
  } catch {
    return [];
  }
}

/** Files above level 0. */
export function mergedFiles(replica: string): number {
  return readdirSync(join(replica, "ltx"))
    .filter((level) => level !== "0")
    .reduce((sum, level) => sum + readdirSync(join(replica, "ltx", level)).length, 0);
}

/** A daemon that replicates some databases. */
export class Daemon {
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(process: ChildProcess) {
    this.#process = process;
    this.#ended = new Promise((resolve) => process.on("exit", () => resolve()));
  }

  /** Starts one, and waits until every replica holds something. */
  static async start(
    { name, command, syncInterval }: Contestant,
    folder: string,
    places: readonly Place[],
  ): Promise<Daemon> {
    const file = join(folder, `${name.replaceAll(/\W+/g, "-")}.yml`);
    const interval = syncInterval === undefined ? "" : `\n      sync-interval: ${syncInterval}`;
    const entries = places.map(
      ({ path, replica }) =>
        `  - path: ${path}\n    replica:\n      type: file\n      path: ${replica}${interval}`,
    );
    writeFileSync(file, `dbs:\n${entries.join("\n")}\n`);
    const log = openSync(`${file}.log`, "w");
    const [program = "", ...args] = [...command, "replicate", "-config", file];
    const daemon = new Daemon(spawn(program, args, { stdio: ["ignore", log, log] }));
    for (let i = 0; !places.every(({ replica }) => newestTxid(replica) > 0); i++) {
      if (i > 600 || daemon.#process.exitCode !== null) {
        throw new Error(`${name} does not replicate:\n${readFileSync(`${file}.log`, "utf8")}`);
      }
      await sleep(100);
    }
    return daemon;
  }

  /** Seconds of the processor so far. */
  cpu(): number {
    const tasks = `/proc/${this.#process.pid}/task`;
    const spent = (task: string): number =>
      Number(readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]);
    return readdirSync(tasks).reduce((sum, task) => sum + spent(task), 0) / 1e9;
  }

  /** Largest resident set so far, in MB. */
  memory(): number {
    const status = readFileSync(`/proc/${this.#process.pid}/status`, "utf8");
    return (Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024) / 1e6;
  }

  /** Ends it. */
  async stop(): Promise<void> {
    this.#process.kill("SIGTERM");
    await this.#ended;
  }
}
