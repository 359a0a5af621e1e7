/**
 * Starts several servers at once.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { SERVERS } from "./index.ts";
import { Scratch, type ServerAddress } from "./server.ts";

/** A server that runs, or why it does not. */
export type ServerState = { readonly address: ServerAddress } | { readonly missing: string };

/** Servers that run until `end`. */
export interface RunningServers {
  /** By name. */
  readonly servers: Readonly<Record<string, ServerState>>;
  /** Ends them all. */
  end(): Promise<void>;
}

/** Starts servers by their names; one that is not installed is told, one that fails to start is an error. */
export async function startServers(names: readonly string[]): Promise<RunningServers> {
  const servers: Record<string, ServerState> = {};
  const scratches: Scratch[] = [];
  const end = async (): Promise<void> => {
    await Promise.all(scratches.map((scratch) => scratch.end()));
  };
  const started = names.map(async (name) => {
    const kind = SERVERS.find((each) => each.name === name);
    if (kind === undefined) throw new Error(`There is no server named ${name}`);
    if (!kind.programs.every((program) => existsSync(program))) {
      servers[name] = { missing: kind.install };
      return;
    }
    const scratch = new Scratch(name);
    scratches.push(scratch);
    servers[name] = { address: await kind.start(scratch) };
  });
  const failed = (await Promise.allSettled(started)).find((each) => each.status === "rejected");
  if (failed !== undefined) {
    await end();
    throw failed.reason;
  }
  return { servers, end };
}
