/**
 * Litestream 0.3.13, the last release that wrote the layout before LTX.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tool } from "../servers/server.ts";
import { describeWith, environment, type Process, startProcess } from "./litestream.ts";

const BINARY = tool("litestream03");

/** A suite that needs Litestream 0.3.13; see {@linkcode describeWith}. */
export function describeWithLitestream03(name: string, body: () => void): void {
  describeWith({ product: "Litestream 0.3.13", binary: BINARY }, name, body);
}

/** A database and where it is replicated to. */
export interface Litestream03Options {
  /** For the configuration. */
  readonly directory: string;
  readonly database: string;
  /** Keys of a replica as the configuration takes them: `{ path }`, or those of S3. */
  readonly replica: Readonly<Record<string, unknown>>;
  /** WAL pages after which it checkpoints, which begins a new index. @default 10 */
  readonly checkpointPages?: number | undefined;
}

/** Starts `litestream replicate`. */
export function startLitestream03(options: Litestream03Options): Process {
  return startProcess(BINARY, ["replicate", "-config", configOf(options)]);
}

/** Restores with Litestream 0.3.13; throws its log where it refuses. */
export function restoreWithLitestream03(
  options: Litestream03Options,
  timestamp?: Date | undefined,
): Uint8Array {
  const output = join(options.directory, "restored-by-03.db");
  const flags = timestamp === undefined ? [] : ["-timestamp", timestamp.toISOString()];
  const args = ["restore", "-config", configOf(options), "-o", output, ...flags, options.database];
  const { status, stdout, stderr } = spawnSync(BINARY, args, { env: environment() });
  if (status !== 0) throw new Error(`litestream 0.3.13 restore: ${stdout}${stderr}`);
  const bytes = readFileSync(output);
  rmSync(output);
  return bytes;
}

function configOf({ directory, database, replica, checkpointPages }: Litestream03Options): string {
  const path = join(directory, "litestream03.yml");
  const entry = {
    path: database,
    "min-checkpoint-page-count": checkpointPages ?? 10,
    "monitor-interval": "20ms",
    "checkpoint-interval": "1s",
    replicas: [{ "sync-interval": "50ms", ...replica }],
  };
  // JSON is YAML.
  writeFileSync(path, JSON.stringify({ dbs: [entry] }));
  return path;
}
