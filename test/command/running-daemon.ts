/**
 * A command that runs beside a test, such as `pagestream replicate`, and native SQLite that writes beside it.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { DatabaseSync } from "node:sqlite";
import { fileSink, fileStore } from "@pagestream/node";
import { restore } from "pagestream";
import { BIN, type Outcome } from "./command.ts";

/** A process whose output is watched as it comes. */
export interface Running {
  readonly child: ChildProcess;
  /** Standard error so far, where the log goes. */
  readonly log: string;
  /** Standard output so far. */
  readonly output: string;
  /** Resolves when the log, or standard output, matches; rejects when the process ends before. */
  until(pattern: RegExp, times?: number): Promise<void>;
  /** Sends a signal, where there is one, and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<Outcome>;
}

const started = new Set<ChildProcess>();

/** Ends what a failed test has left. */
export function killRunning(): void {
  for (const child of started) child.kill("SIGKILL");
  started.clear();
}

/** Starts `pagestream replicate` with these arguments. */
export function startReplicate(args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  return startCommand(["replicate", ...args], env);
}

/** Starts a command that runs until it gets a signal. */
export function startCommand(args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const { FORCE_COLOR: _, LOG_LEVEL: __, ...inherited } = process.env;
  const child = spawn(process.execPath, [BIN, ...args], {
    env: { ...inherited, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.add(child);
  let [log, output] = ["", ""];
  let look = (): void => undefined;
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text;
    look();
  });
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    look();
  });
  const ended = new Promise<Outcome>((resolve) => {
    child.on("close", (code, signal) => {
      started.delete(child);
      resolve({ code, signal, stdout: output, stderr: log });
      look();
    });
  });
  return {
    child,
    get log() {
      return log;
    },
    get output() {
      return output;
    },
    until: (pattern, times = 1) =>
      new Promise((resolve, reject) => {
        const all = new RegExp(pattern.source, "g");
        look = () => {
          const text = `${log}${output}`;
          if ((text.match(all)?.length ?? 0) >= times) return resolve();
          if (started.has(child)) return undefined;
          return reject(new Error(`It ended before ${pattern} came:\n${text}`));
        };
        look();
      }),
    async end(signal) {
      if (signal !== undefined) child.kill(signal);
      return await ended;
    },
  };
}

/** Runs SQL in a connection of its own, which is closed again. */
export function write(path: string, sql: string): void {
  const db = new DatabaseSync(path, { timeout: 5000 });
  try {
    db.exec(`PRAGMA journal_mode=wal; ${sql}`);
  } finally {
    db.close();
  }
}

/** The values of column `a` of table `t` in what a replica restores to. */
export async function restored(replica: string, path: string): Promise<readonly unknown[]> {
  await restore(fileStore(replica), fileSink(path, { force: true }));
  return rows(path);
}

/** The values of column `a` of table `t`. */
export function rows(path: string): readonly unknown[] {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    return db
      .prepare("SELECT a FROM t ORDER BY rowid")
      .all()
      .map(({ a }) => a);
  } finally {
    db.close();
  }
}
