/**
 * Starts the servers once for all files of `test/stores`.
 *
 * `PAGESTREAM_SERVERS=seaweedfs,nats` starts these alone, which saves time with a single file; the suites of the others
 * are then skipped.
 *
 * @module
 */
import type { TestProject } from "vitest/node";
import { SERVERS } from "./index.ts";
import { type RunningServers, type ServerState, startServers } from "./start.ts";

declare module "vitest" {
  interface ProvidedContext {
    servers: Readonly<Record<string, ServerState>>;
  }
}

let running: RunningServers | undefined;

/** Called by Vitest before the first file. */
export async function setup(project: TestProject): Promise<void> {
  const only = process.env["PAGESTREAM_SERVERS"]?.split(",");
  const names = SERVERS.map(({ name }) => name).filter((name) => only?.includes(name) ?? true);
  running = await startServers(names);
  project.provide("servers", running.servers);
}

/** Called by Vitest after the last file. */
export async function teardown(): Promise<void> {
  await running?.end();
}
