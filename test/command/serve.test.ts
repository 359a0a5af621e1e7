/** @module */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { fixtures, unpackFixture } from "../interop/fixtures.ts";
import { makeScratch, pagestream } from "./command.ts";
import { killRunning, startCommand } from "./running-daemon.ts";

const scratch = makeScratch();
const levels = unpackFixture("levels");
const NAME = "ltx/0/0000000000000004-0000000000000004.ltx";
const TOKEN = "a-token-that-nobody-knows";

afterAll(() => {
  scratch.remove();
  levels.remove();
});

afterEach(killRunning);

interface Served {
  readonly url: string;
  /** Ends it and tells exit code and log. */
  end(): Promise<{ readonly code: number | null; readonly log: string }>;
}

async function serve(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Served> {
  const running = startCommand(["serve", "-addr", "127.0.0.1:0", ...args], env);
  await running.until(/msg=serving.*\n/);
  return {
    url: /url=(http:\S+)/.exec(running.log)?.[1] ?? running.log,
    async end() {
      const { code, stderr: log } = await running.end("SIGTERM");
      return { code, log };
    },
  };
}

/** The status line that a request gets whose path is sent as it is. */
async function rawStatus(url: string, path: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).setEncoding("utf8");
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  let answer = "";
  for await (const text of socket) answer += text as string;
  return answer.slice(9, 12);
}

test("serve lets restore read the replica over HTTP, and answers as HTTP asks", async () => {
  const { url, end } = await serve([levels.path]);
  const copy = scratch.next();
  const restored = await pagestream(["restore", "-o", copy, url]);
  expect(restored).toMatchObject({ code: 0, stderr: "" });
  const newest = fixtures["levels"]?.restore.find(({ kind }) => kind === "latest");
  expect(createHash("sha256").update(readFileSync(copy)).digest("hex")).toBe(newest?.sha256);

  const bytes = readFileSync(join(levels.path, NAME));
  const part = await fetch(`${url}/${NAME}`, { headers: { range: "bytes=10-19" } });
  expect(part.status).toBe(206);
  expect(part.headers.get("content-range")).toBe(`bytes 10-19/${bytes.length}`);
  expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(10, 20));
  const head = await fetch(`${url}/${NAME}`, { method: "HEAD" });
  expect(head.headers.get("content-length")).toBe(String(bytes.length));
  expect(head.headers.get("content-encoding")).toBeNull();
  const etag = head.headers.get("etag") as string;
  const same = await fetch(`${url}/${NAME}`, { headers: { "if-none-match": etag } });
  expect(same.status).toBe(304);
  const info = await (await fetch(`${url}/info`)).json();
  expect(info).toMatchObject({ txid: "0000000000000022", decrypted: false });

  writeFileSync(join(levels.path, "lock.json"), "{}");
  const paths = ["/lock.json", "/ltx/0/../../lock.json", "/ltx/0/%2e%2e/%2e%2e/lock.json"];
  for (const path of [...paths, "/../../etc/passwd", "/%2e%2e%2fetc/passwd", `//${NAME}`]) {
    expect([path, await rawStatus(url, path)]).toEqual([path, "404"]);
  }
  expect(await rawStatus(url, "/%")).toBe("400");
  expect((await fetch(url, { method: "PUT", body: "x" })).status).toBe(405);
  const { code, log } = await end();
  expect(code).toBe(0);
  expect(log).toMatch(/files=plain protected=false/);
});

test("serve asks for its token and never shows it", async () => {
  const { url, end } = await serve([levels.path], { PAGESTREAM_SERVE_TOKEN: TOKEN });
  expect((await fetch(`${url}/${NAME}`)).status).toBe(401);
  const headers = { authorization: `Bearer ${TOKEN}` };
  const read = await fetch(`${url}/${NAME}`, { headers });
  expect(read.status).toBe(200);
  await read.body?.cancel();
  const { code, log } = await end();
  expect({ code, shown: log.includes(TOKEN) }).toEqual({ code: 0, shown: false });
});

test("serve answers queries with --query only, and only those that read", async () => {
  const ask = async (url: string, sql: string): Promise<Response> =>
    await fetch(`${url}/query`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ sql }),
    });
  const [plain, served] = await Promise.all([
    serve([levels.path]),
    serve(["--query", levels.path]),
  ]);
  const sql = "SELECT count(*) > 0 FROM sqlite_schema";
  expect((await ask(plain.url, sql)).status).toBe(501);
  const answer = await ask(served.url, sql);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ txid: "0000000000000022", rows: [[1]] });
  expect((await ask(served.url, "CREATE TABLE mine(x)")).status).toBe(422);
  const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
  const sorted = await ask(served.url, `${endless} SELECT zeroblob(10000000) FROM n ORDER BY 1`);
  expect(await sorted.text()).toContain("out of memory");
  expect((await ask(served.url, sql)).status).toBe(200);
  expect((await plain.end()).code).toBe(0);
  expect((await served.end()).code).toBe(0);
});
