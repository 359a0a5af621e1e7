/**
 * Real servers for the tests: started on free ports of 127.0.0.1, waited for by their health, ended by their process.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Folder of the tools that `node scripts/tools.mjs` installs. */
export const TOOLS: string = new URL("../../.tools", import.meta.url).pathname;

/** A tool by its name in `.tools/bin`. */
export function tool(name: string): string {
  return join(TOOLS, "bin", name);
}

/** Where a server answers and what it lets in: plain data, which tests in other processes get. */
export type ServerAddress = Readonly<Record<string, string>>;

/** A member of an address that must be there. */
export function part(address: ServerAddress, name: string): string {
  const value = address[name];
  if (value === undefined) throw new Error(`The server's address has no ${name}`);
  return value;
}

/** A kind of server. */
export interface ServerKind {
  /** As tests and `PAGESTREAM_SERVERS` name it. */
  readonly name: string;
  /** Programs that must be there. */
  readonly programs: readonly string[];
  /** What to run where they are missing. */
  readonly install: string;
  /** Starts it; resolves when it is healthy. What it writes goes below `scratch.folder`. */
  start(scratch: Scratch): Promise<ServerAddress>;
}

/** What a server gets to work with. Everything started here is ended by `end`. */
export class Scratch {
  /** A folder of its own, removed at the end. */
  readonly folder: string;
  readonly #children: ChildProcess[] = [];
  readonly #signals = new Map<ChildProcess, NodeJS.Signals>();
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
    this.folder = mkdtempSync(join(tmpdir(), `pagestream-${name}-`));
  }

  /** A folder below, made. */
  make(name: string): string {
    const path = join(this.folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Starts a program that runs on; its output goes to a log that a failure shows. */
  spawn(
    program: string,
    args: readonly string[],
    options: {
      readonly env?: NodeJS.ProcessEnv;
      readonly cwd?: string;
      /** What ends it. @default "SIGKILL": nothing is worth a tidy end, which takes some of them 20 s */
      readonly signal?: NodeJS.Signals;
    } = {},
  ): ChildProcess {
    const log = openSync(this.#log(this.#children.length), "w");
    const child = spawn(program, args, {
      cwd: options.cwd ?? this.folder,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", log, log],
    });
    // Shows when it is waited for.
    child.on("error", () => undefined);
    this.#children.push(child);
    this.#signals.set(child, options.signal ?? "SIGKILL");
    return child;
  }

  /** Runs a program to its end, and returns what it printed. */
  async run(
    program: string,
    args: readonly string[],
    options: { readonly env?: NodeJS.ProcessEnv } = {},
  ): Promise<string> {
    const child = spawn(program, args, {
      cwd: this.folder,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += String(chunk)));
    child.stderr.on("data", (chunk) => (output += String(chunk)));
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}:\n${output}`);
    return output;
  }

  /** Waits until `check` no longer throws or returns false; a program that has ended is a failure at once. */
  async ready(check: () => Promise<boolean>, limitMs = 60_000): Promise<void> {
    const end = Date.now() + limitMs;
    for (;;) {
      const ended = this.#children.findIndex((c) => c.exitCode !== null || c.pid === undefined);
      if (ended >= 0)
        throw new Error(`${this.#name} ended while it started:\n${this.#output(ended)}`);
      if (await check().catch(() => false)) return;
      if (Date.now() > end) {
        throw new Error(`${this.#name} is not ready after ${limitMs} ms:\n${this.#output(0)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** Waits until an address answers with a status that pleases. */
  answers(url: string, pleases: (status: number) => boolean = (s) => s === 200): Promise<void> {
    return this.ready(async () => {
      const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
      await response.body?.cancel();
      return pleases(response.status);
    });
  }

  /** Ends all programs, newest first, and removes the folder. */
  async end(): Promise<void> {
    for (const child of this.#children.toReversed()) {
      if ((child.exitCode ?? child.signalCode) !== null || child.pid === undefined) continue;
      const closed = new Promise((resolve) => child.once("close", resolve));
      child.kill(this.#signals.get(child));
      await closed;
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #log(index: number): string {
    return join(this.folder, `output-${index}.log`);
  }

  #output(index: number): string {
    const path = this.#log(index);
    return existsSync(path) ? readFileSync(path, "utf8").slice(-4000) : "";
  }
}

/** Ports that nobody listens on. `also` is the distance of a second port that must be free with each. */
export async function freePorts(count: number, also?: number): Promise<number[]> {
  const ports: number[] = [];
  const held: { close(): void }[] = [];
  while (ports.length < count) {
    // Below those that the system gives to connections: until the server listens, one could take the port. And a second
    // port above it has room.
    const first = await listen(10_000 + Math.floor(Math.random() * 20_000));
    if (first === undefined) continue;
    held.push(first);
    if (also !== undefined) {
      const second = await listen(first.port + also);
      if (second === undefined) continue;
      held.push(second);
    }
    ports.push(first.port);
  }
  for (const server of held) server.close();
  return ports;
}

function listen(port: number): Promise<{ port: number; close(): void } | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      const actual = typeof address === "object" && address !== null ? address.port : port;
      resolve({ port: actual, close: () => void server.close() });
    });
  });
}
