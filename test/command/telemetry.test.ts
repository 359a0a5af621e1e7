/** @module */
import { writeFileSync } from "node:fs";
import { afterAll, afterEach, expect, test } from "vitest";
import { makeScratch } from "./command.ts";
import { killRunning, startReplicate, write } from "./running-daemon.ts";

const scratch = makeScratch();
afterAll(() => scratch.remove());
afterEach(killRunning);

test("replicate serves metrics and health of what it replicates", async () => {
  const [path, replica, config] = [
    scratch.next(),
    scratch.next("replica"),
    scratch.next("litestream.yml"),
  ];
  write(path, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  writeFileSync(
    config,
    `addr: "127.0.0.1:0"
logging: { type: json }
dbs: [{ path: ${path}, replica: { type: file, path: ${replica} } }]
`,
  );
  const running = startReplicate(["-config", config]);
  await running.until(/serving metrics.*\n/);
  const lines = running.log.trimEnd().split("\n");
  const entries = lines.map((line) => JSON.parse(line) as Record<string, string>);
  const { address } = entries.find(({ msg }) => msg?.startsWith("serving metrics")) ?? {};
  const health = async () => {
    const response = await fetch(`http://${address}/health`);
    return { status: response.status, body: (await response.json()) as object };
  };
  await expect.poll(health, { timeout: 30_000 }).toMatchObject({ status: 200 });
  expect((await health()).body).toMatchObject({
    status: "ok",
    databases: [{ db: path, restorable: true, local_txid: "0000000000000001" }],
  });
  const metrics = await (await fetch(`http://${address}/metrics`)).text();
  expect(metrics).toContain(`litestream_txid{db="${path}"} 1\n`);
  const labels = `db="${path}",replica_type="file",operation="PUT"`;
  expect(metrics).toContain(`litestream_replica_operation_total{${labels}} `);
  expect((await running.end("SIGTERM")).code).toBe(0);
});
