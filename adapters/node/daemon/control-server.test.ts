/** @module */
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Hono } from "hono";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { askDaemon } from "./control-client.ts";
import { listenOnSocket } from "./control-server.ts";

let root: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "pagestream-control-"));
  path = join(root, "s.sock");
});
afterEach(() => rmSync(root, { recursive: true }));

const app = new Hono()
  .get("/hello", (c) => c.json({ hello: "you" }))
  .post("/echo", async (c) => c.json(await c.req.json(), 409))
  .get("/never", () => new Promise<never>(() => undefined));

describe("listenOnSocket()", () => {
  test("listenOnSocket() serves with the mode it was given, and removes the socket", async () => {
    const server = await listenOnSocket(app, { path, permissions: 0o640 });
    expect(statSync(path).mode & 0o777).toBe(0o640);
    const hello = await askDaemon({ socket: path, route: "/hello", timeoutMs: 5000 });
    expect(hello).toEqual({ status: 200, body: { hello: "you" } });
    const echo = await askDaemon({ socket: path, route: "/echo", body: { a: 1 }, timeoutMs: 5000 });
    expect(echo).toEqual({ status: 409, body: { a: 1 } });
    const nope = await askDaemon({ socket: path, route: "/nope", timeoutMs: 5000 });
    expect(nope).toEqual({ status: 404, body: "404 Not Found" });
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  test("listenOnSocket() replaces a socket that nobody listens at", async () => {
    // Only a process that was killed leaves one.
    const { spawnSync } = await import("node:child_process");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(statSync(path).isSocket()).toBe(true);
    const server = await listenOnSocket(app, { path, permissions: 0o600 });
    expect((await askDaemon({ socket: path, route: "/hello", timeoutMs: 5000 })).status).toBe(200);
    await server.close();
  });

  test("listenOnSocket() leaves a file that is no socket, and a socket in use", async () => {
    writeFileSync(path, "mine");
    await expect(listenOnSocket(app, { path, permissions: 0o600 })).rejects.toThrow(
      `Cannot listen at ${path}: a file that is no socket lies there`,
    );
    rmSync(path);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(path, resolve));
    await expect(listenOnSocket(app, { path, permissions: 0o600 })).rejects.toThrow(
      `Cannot listen at ${path}: another process listens at it`,
    );
    await new Promise((resolve) => other.close(resolve));
  });

  test("listenOnSocket() tells why it cannot listen", async () => {
    const nowhere = join(root, "missing/s.sock");
    const listening = listenOnSocket(app, { path: nowhere, permissions: 0o600 });
    await expect(listening).rejects.toThrow(
      /^Cannot listen at .*s\.sock: there is no such directory/,
    );
  });

  test("askDaemon() gives up in time, and where nobody listens", async () => {
    await expect(askDaemon({ socket: path, route: "/x", timeoutMs: 5000 })).rejects.toThrow(
      "ENOENT",
    );
    const server = await listenOnSocket(app, { path, permissions: 0o600 });
    const never = askDaemon({ socket: path, route: "/never", timeoutMs: 20 });
    await expect(never).rejects.toMatchObject({ name: "AbortError" });
    await server.close();
  });
});
