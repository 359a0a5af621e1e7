/**
 * The real Litestream as a peer and a judge: its command, its daemon, and temporary directories to run them in.
 *
 * Nothing here listens on a network: the daemon is spoken to by its control socket, which gives exact sync points.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "vitest";

const TOOLS_BIN = new URL("../../.tools/bin", import.meta.url).pathname;
const BINARY = `${TOOLS_BIN}/litestream`;
const INSTALL = "node scripts/tools.mjs";

/** How long a daemon may take to end by itself. */
const STOP_MS = 10_000;
/** How long a command may take; a restore of a gigabyte takes seconds. */
const COMMAND_MS = 120_000;
const POLL_MS = 20;

/** A suite that needs the real Litestream. */
export function describeWithLitestream(name: string, body: () => void): void {
  describeWith({ product: "Litestream", binary: BINARY }, name, body);
}

/**
 * A suite that needs a tool. Where it is not installed the suite is reported as skipped, with the command that installs
 * it; where skipping is forbidden it fails.
 */
export function describeWith(
  { product, binary }: { readonly product: string; readonly binary: string },
  name: string,
  body: () => void,
): void {
  if (existsSync(binary)) {
    describe(name, body);
    return;
  }
  const title = `${name}: ${product} is not installed, run ${INSTALL}`;
  if (process.env["PAGESTREAM_NO_SKIP"] !== "1") {
    describe.skip(title, body);
    return;
  }
  test(title, () => {
    throw new Error(`${binary} is missing. Run: ${INSTALL}`);
  });
}

/** What a command did. */
export interface CommandResult {
  /** -1 where a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `litestream` with these arguments to its end. */
export function litestream(...args: readonly string[]): Promise<CommandResult> {
  return runToEnd(BINARY, args, {});
}

/** Like {@linkcode litestream}, with more variables of the environment, such as keys. */
export function litestreamIn(
  variables: NodeJS.ProcessEnv,
  ...args: readonly string[]
): Promise<CommandResult> {
  return runToEnd(BINARY, args, { variables });
}

/**
 * Runs SQL in the `sqlite3` shell with Litestream's VFS library, against a replica by its URL.
 */
export function litestreamVfs(
  url: string,
  sql: string,
  options: { readonly write?: boolean; readonly variables?: NodeJS.ProcessEnv } = {},
): Promise<CommandResult> {
  const variables: NodeJS.ProcessEnv = { ...options.variables, LITESTREAM_REPLICA_URL: url };
  if (options.write === true) {
    Object.assign(variables, {
      LITESTREAM_WRITE_ENABLED: "true",
      LITESTREAM_SYNC_INTERVAL: "100ms",
    });
  }
  const cwd = temporaryDirectory();
  const input = `.load ${TOOLS_BIN}/litestream-vfs\n.open file:x.db?vfs=litestream\n${sql}\n`;
  return runToEnd(`${TOOLS_BIN}/sqlite3`, ["-bail"], { variables, cwd, input });
}

function runToEnd(
  program: string,
  args: readonly string[],
  options: {
    readonly variables?: NodeJS.ProcessEnv;
    readonly cwd?: string;
    readonly input?: string;
  },
): Promise<CommandResult> {
  const { variables, cwd, input } = options;
  const env = { ...environment(), ...variables };
  const child = spawn(program, args, { env, cwd, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(input);
  const timer = setTimeout(() => child.kill("SIGKILL"), COMMAND_MS);
  const out: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
  child.stdout.on("data", (chunk: Buffer) => out.stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => out.stderr.push(chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      const [stdout, stderr] = [out.stdout, out.stderr].map((parts) =>
        String(Buffer.concat(parts)),
      );
      resolve({ code: code ?? -1, stdout: stdout as string, stderr: stderr as string });
    });
  });
}

/** What to restore; the newest state when neither point is given. */
export interface LitestreamRestoreOptions {
  readonly txid?: bigint | undefined;
  /** Litestream's answer is the state strictly before it. */
  readonly timestamp?: Date | undefined;
  readonly integrityCheck?: "quick" | "full" | undefined;
}

/** The state Litestream restored, or why it did not. */
export interface LitestreamRestored extends CommandResult {
  /** The database file; undefined where the restore was refused. */
  readonly bytes: Buffer | undefined;
}

/** Restores a replica directory with the real Litestream and reads the file. */
export async function litestreamRestore(
  replica: string,
  options: LitestreamRestoreOptions = {},
): Promise<LitestreamRestored> {
  const directory = mkdtempSync(join(tmpdir(), "pagestream-out-"));
  try {
    const result = await litestreamRestoreTo(replica, join(directory, "out.db"), options);
    const bytes = result.code === 0 ? readFileSync(join(directory, "out.db")) : undefined;
    const left = readdirSync(directory).filter((name) => name !== "out.db");
    if (left.length > 0) throw new Error(`litestream restore left ${left.join(", ")}`);
    return { ...result, bytes };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Restores a replica directory with the real Litestream into a new file. */
export async function litestreamRestoreTo(
  replica: string,
  output: string,
  options: LitestreamRestoreOptions = {},
): Promise<CommandResult> {
  const { txid, timestamp, integrityCheck } = options;
  const flags = ["-o", output];
  if (txid !== undefined) flags.push("-txid", txid.toString(16).padStart(16, "0"));
  if (timestamp !== undefined) flags.push("-timestamp", timestamp.toISOString());
  if (integrityCheck !== undefined) flags.push("-integrity-check", integrityCheck);
  if (timestamp === undefined) return litestream("restore", ...flags, `file://${replica}`);
  // By its address a replica refuses every time past its newest file; by a configuration it does not.
  const directory = mkdtempSync(join(tmpdir(), "pagestream-conf-"));
  try {
    const database = join(directory, "database.db");
    const config = writeConfig(directory, { databases: { [database]: replica } });
    return await litestream("restore", "-config", config, ...flags, database);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A file as `litestream ltx` lists it. */
export interface ListedLtx {
  readonly level: number;
  readonly minTxid: bigint;
  readonly maxTxid: bigint;
  readonly size: number;
}

/** What `litestream ltx` lists in a replica directory, by level and TXID. */
export async function litestreamList(replica: string): Promise<ListedLtx[]> {
  const result = await litestream("ltx", "-level", "all", "-json", `file://${replica}`);
  if (result.code !== 0) throw new Error(`litestream ltx failed: ${result.stderr}`);
  type Row = { level: number; min_txid: string; max_txid: string; size: number };
  return (JSON.parse(result.stdout) as Row[]).map(({ level, min_txid, max_txid, size }) => ({
    level,
    minTxid: BigInt(`0x${min_txid}`),
    maxTxid: BigInt(`0x${max_txid}`),
    size,
  }));
}

/** How a daemon runs. Durations are Litestream's: "1s", "5m". */
export interface DaemonOptions {
  /** Replica directories by the path of their database. */
  readonly databases: Readonly<Record<string, string>>;
  /** Intervals of the levels from 1 on. @default one level, once an hour */
  readonly levels?: readonly string[] | undefined;
  /** @default once an hour */
  readonly snapshotInterval?: string | undefined;
  /** @default an hour */
  readonly snapshotRetention?: string | undefined;
  /** @default an hour */
  readonly l0Retention?: string | undefined;
  /** Litestream's own default is "1s". @default "200ms" */
  readonly syncInterval?: string | undefined;
}

/** Writes a configuration for `options` into a directory and returns its path. */
export function writeConfig(directory: string, options: DaemonOptions): string {
  const path = join(directory, "litestream.yml");
  const config = {
    socket: { enabled: true, path: join(directory, "s") },
    levels: (options.levels ?? ["1h"]).map((interval) => ({ interval })),
    snapshot: {
      interval: options.snapshotInterval ?? "1h",
      retention: options.snapshotRetention ?? "1h",
    },
    "l0-retention": options.l0Retention ?? "1h",
    "l0-retention-check-interval": "500ms",
    "shutdown-sync-timeout": "5s",
    dbs: Object.entries(options.databases).map(([database, replica]) => ({
      path: database,
      replica: { type: "file", path: replica, "sync-interval": options.syncInterval ?? "200ms" },
    })),
  };
  // JSON is YAML.
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/** A running `litestream replicate`. */
export interface Daemon extends AsyncDisposable {
  /** Replicates what is committed now; returns the TXID that is then in the replica. */
  sync(database: string): Promise<bigint>;
  /** Its log so far. */
  readonly log: string;
  /** Ends it as an operator would, with SIGTERM, and by force after ten seconds. Calling it again is harmless. */
  stop(): Promise<void>;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** A running `litestream`. */
export interface Process {
  /** Its log so far. */
  readonly log: string;
  /** Whether it has ended by itself. */
  readonly ended: boolean;
  /** Ends it with SIGTERM, after which it has replicated everything, and by force after ten seconds. */
  stop(): Promise<void>;
}

/** Starts a binary of Litestream that runs until it is stopped. */
export function startProcess(binary: string, args: readonly string[]): Process {
  const child = spawn(binary, args, { env: environment(), stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let log = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (log += String(chunk)));
  }
  const ended = new Promise<void>((resolve) => {
    child.on("close", () => {
      running.delete(child);
      resolve();
    });
  });
  return {
    get log() {
      return log;
    },
    get ended() {
      return child.exitCode !== null || child.signalCode !== null;
    },
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Starts `litestream replicate`; resolves when its control socket answers. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const directory = mkdtempSync(join(tmpdir(), "pagestream-lsd-"));
  const config = writeConfig(directory, options);
  const socket = join(directory, "s");
  const daemon = startProcess(BINARY, ["replicate", "-config", config]);
  const stop = async (): Promise<void> => {
    await daemon.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await waitFor("the control socket of litestream", () => {
      if (daemon.ended) throw new Error(`litestream replicate ended: ${daemon.log}`);
      return existsSync(socket);
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    async sync(database) {
      const flags = ["-wait", "-json", "-timeout", "20", "-socket", socket];
      const result = await litestream("sync", ...flags, database);
      if (result.code !== 0) throw new Error(`litestream sync: ${result.stderr}${daemon.log}`);
      return BigInt((JSON.parse(result.stdout) as { replica_txid: number }).replica_txid);
    },
    get log() {
      return daemon.log;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** A running `litestream restore -f`. */
export interface Follower extends AsyncDisposable {
  /** Resolves when the database is at least at this TXID. */
  reached(txid: bigint): Promise<void>;
}

/** Lets Litestream restore a replica directory into a new file and apply every later file to it. */
export function startFollower(replica: string, output: string): Follower {
  const url = `file://${replica}`;
  const follower = startProcess(BINARY, [
    "restore",
    "-f",
    "-follow-interval",
    "50ms",
    "-o",
    output,
    url,
  ]);
  return {
    reached: (txid) =>
      waitFor(`txid ${txid} at the follower`, () => {
        if (follower.ended) throw new Error(`litestream restore -f ended: ${follower.log}`);
        const side = `${output}-txid`;
        return existsSync(side) && BigInt(`0x${readFileSync(side, "utf8").trim()}`) >= txid;
      }),
    [Symbol.asyncDispose]: follower.stop,
  };
}

/** Resolves when a condition holds that only another process can bring about; fails when it does not in time. */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 20_000,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${deadlineMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** A new directory; removed with `removeTemporary`. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "pagestream-interop-"));
  temporaries.push(directory);
  return directory;
}

const temporaries: string[] = [];

/** Removes all directories that `temporaryDirectory` made: for `afterEach` or `afterAll`. */
export function removeTemporary(): void {
  for (const directory of temporaries.splice(0)) {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The environment without a certificate setting that some sandboxes have and that Litestream trips over. */
export function environment(): NodeJS.ProcessEnv {
  const { AWS_CA_BUNDLE: _, LITESTREAM_CONFIG: __, LOG_LEVEL: ___, ...rest } = process.env;
  return rest;
}
