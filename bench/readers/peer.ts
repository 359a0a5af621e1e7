/**
 * The other contestant: the shell of SQLite with the VFS of Litestream, fed through a pipe.
 *
 * @module
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { type Contestant, type Place, POINT } from "./contestant.ts";

/** Starts the shell and loads the VFS; a replica is opened by `open`. */
export async function startPeer(tools: string): Promise<Contestant> {
  const folder = mkdtempSync(join(tmpdir(), "pagestream-bench-peer-"));
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(
    join(tools, "sqlite3"),
    ["-batch"],
    {
      cwd: folder,
      env: {
        ...process.env,
        LITESTREAM_LOG_FILE: "/dev/null",
        // Its client of S3 cannot start with one.
        AWS_CA_BUNDLE: undefined,
        AWS_ACCESS_KEY_ID: "key",
        AWS_SECRET_ACCESS_KEY: "secret",
        AWS_REGION: "us-east-1",
      },
      stdio: ["pipe", "pipe", "pipe"],
    },
  );
  let output = "";
  let wake = (): void => {};
  const take = (text: string): void => {
    output += text;
    wake();
  };
  child.stdout.setEncoding("utf8").on("data", take);
  child.stderr.setEncoding("utf8").on("data", take);
  child.on("exit", (code, signal) => take(`\n<ended> ${code} ${signal}\n`));
  let marks = 0;
  const run = async (commands: string): Promise<string> => {
    const mark = `<mark ${++marks}>`;
    output = "";
    child.stdin.write(`${commands}\n.print ${mark}\n`);
    while (!output.includes(mark)) {
      if (output.includes("<ended>")) throw new Error(`the shell ended: ${output}`);
      await new Promise<void>((resolve) => (wake = resolve));
    }
    const answer = output.slice(0, output.indexOf(mark)).trim();
    if (/error/i.test(answer)) throw new Error(answer);
    return answer;
  };
  await run(`.load ${join(tools, "litestream-vfs")}`);
  return {
    open: (place) =>
      run(`.open file:x.db?vfs=litestream&replica_url=${encodeURIComponent(urlOf(place))}`),
    query: (sql) => run(`${sql};`),
    async points(ids) {
      const statements = ids.map((id) => `${POINT.replace("?", String(id))};`).join("\n");
      const start = performance.now();
      await run(statements);
      return performance.now() - start;
    },
    memory: () => Promise.resolve(peakMemory(child.pid ?? 0)),
    async close() {
      child.stdin.end();
      await new Promise((resolve) => child.once("close", resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function urlOf(place: Place): string {
  if ("folder" in place) return `file://${place.folder}`;
  if ("file" in place) throw new Error("it opens replicas");
  const endpoint = encodeURIComponent(place.origin);
  return `s3://bucket/db?endpoint=${endpoint}&region=us-east-1&force-path-style=true`;
}

/** Largest resident set of a process in MB (10^6 bytes). */
export function peakMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return (Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024) / 1e6;
}
