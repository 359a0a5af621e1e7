import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const module = fileURLToPath(new URL("./close-on-exit.ts", import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs a program with `closeOnExit`, sends signals when it says so, and waits for its end. */
async function run(program: string, signals: readonly NodeJS.Signals[] = []): Promise<Outcome> {
  const source = `import { closeOnExit } from ${JSON.stringify(module)};
    const say = (text) => process.stdout.write(text + "\\n");
    const closable = (name, ms = 0) => ({
      close: ({ deadlineMs }) => new Promise((resolve) => setTimeout(() => {
        say(name + " closed within " + deadlineMs);
        resolve();
      }, ms)),
    });
    const stay = () => setInterval(() => undefined, 1000);
    ${program}
    say("ready");`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", source], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let errors = "";
  const queue = [...signals];
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    const signal = queue.shift();
    if (signal !== undefined) child.kill(signal);
  });
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  return { code, signal, output, errors };
}

describe("closeOnExit", () => {
  test("closeOnExit() closes everything on SIGTERM and SIGINT, and exits with 128 + n", async () => {
    for (const [signal, code] of [
      ["SIGTERM", 143],
      ["SIGINT", 130],
    ] as const) {
      const program = `stay();
        closeOnExit(closable("a"), { deadlineMs: 77 });
        closeOnExit(closable("b", 20));`;
      const outcome = await run(program, [signal]);
      expect(outcome).toEqual({
        code,
        signal: null,
        output: "ready\na closed within 77\nb closed within 10000\n",
        errors: "",
      });
    }
  });

  test("closeOnExit() exits at once on a second signal", async () => {
    const program = `stay();
      closeOnExit({ close: () => { say("closing"); return new Promise(() => undefined); } });`;
    const outcome = await run(program, ["SIGTERM", "SIGINT"]);
    expect(outcome).toMatchObject({ code: 130, output: "ready\nclosing\n" });
  });

  test("closeOnExit() closes when the event loop has nothing left to do", async () => {
    const outcome = await run(`closeOnExit(closable("a", 5), { deadlineMs: 9 });`);
    expect(outcome).toMatchObject({ code: 0, output: "ready\na closed within 9\n", errors: "" });
  });

  test("closeOnExit() tells of a failed close and keeps the exit code honest", async () => {
    const failing = `closeOnExit({ close: () => Promise.reject(new Error("no upload")) });`;
    expect(await run(failing)).toMatchObject({ code: 1, errors: "no upload\n" });
    const signalled = await run(`stay(); ${failing}`, ["SIGTERM"]);
    expect(signalled).toMatchObject({ code: 143, errors: "no upload\n" });
  });

  test("closeOnExit() does not wait for a close that ignores its deadline", async () => {
    const program = `stay();
      closeOnExit({ close: () => new Promise(() => undefined) }, { deadlineMs: 1 });`;
    const outcome = await run(program, ["SIGTERM"]);
    expect(outcome).toMatchObject({ code: 143, errors: "Closing took longer than 1 ms\n" });
  });

  test("closeOnExit() returns a function that takes it back", async () => {
    const program = `stay();
      const off = closeOnExit(closable("a"));
      off();
      off();`;
    const outcome = await run(program, ["SIGTERM"]);
    expect(outcome).toMatchObject({ code: null, signal: "SIGTERM", output: "ready\n" });
  });
});
