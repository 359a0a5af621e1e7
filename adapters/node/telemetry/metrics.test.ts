/** @module */
import { readFileSync } from "node:fs";
import { NotFoundError, StoreError } from "pagestream";
import { memoryStore } from "pagestream/transports/memory";
import { describe, expect, test } from "vitest";
import type { DaemonDatabase, DaemonEvent, DaemonStatus } from "../daemon/status.ts";
import { Metrics } from "./metrics.ts";

const NOW = Date.parse("2026-11-20T12:00:00Z");
const position = { local: 12n, staged: 12n, replicated: 10n };

const database: DaemonDatabase = {
  path: "/app.db",
  replicaType: "s3",
  replica: "s3://bucket/app",
  state: "replicating",
  error: undefined,
  position,
  stats: { commits: 5, pages: 7, bytes: 100, files: 2, lagMs: 1500, pendingBytes: 8192 },
  destinations: [
    {
      name: "s3://bucket/app",
      state: "following",
      replicated: 10n,
      lagMs: 1500,
      pendingBytes: 8192,
      error: undefined,
    },
  ],
  sizeBytes: 40_960,
  walBytes: 4152,
  syncedAt: NOW - 2000,
  updatedAt: NOW - 2000,
  snapshotting: false,
};

function measured(changes: Partial<DaemonDatabase> = {}) {
  let now = NOW;
  let tell: (event: DaemonEvent) => void = () => {};
  let databases: readonly DaemonDatabase[] = [{ ...database, ...changes }];
  const metrics = new Metrics({ process: false, now: () => now });
  metrics.attach({
    status: (): DaemonStatus => ({ startedAt: NOW - 60_000, databases, requests: undefined }),
    subscribe(listener) {
      tell = listener;
      return () => (tell = () => {});
    },
  });
  type Rest = Record<string, unknown> & { readonly type: string };
  return {
    metrics,
    tell: (event: Rest) => tell({ database: "/app.db", position, ...event } as DaemonEvent),
    wait: (ms: number) => (now += ms),
    remove: () => (databases = []),
    lines: async () => (await metrics.text()).split("\n").filter((line) => !line.startsWith("#")),
  };
}

describe("Metrics", () => {
  test("Metrics.text() tells position, size, lag and what waits, by database and replica", async () => {
    const { lines } = measured();
    const db = 'db="/app.db"';
    const replica = `${db},replica="s3://bucket/app"`;
    expect(await lines()).toEqual(
      expect.arrayContaining([
        `litestream_db_size{${db}} 40960`,
        `litestream_wal_size{${db}} 4152`,
        `litestream_txid{${db}} 12`,
        `litestream_disk_full{${db}} 0`,
        `litestream_replica_lag_seconds{${replica}} 1.5`,
        `litestream_replicated_txid{${replica}} 10`,
        `litestream_last_success_timestamp_seconds{${db}} ${(NOW - 2000) / 1000}`,
        `litestream_pending_bytes{${db}} 8192`,
        `litestream_pending_txids{${db}} 2`,
        `litestream_database_state{${db},state="replicating"} 1`,
        `litestream_database_state{${db},state="conflict"} 0`,
      ]),
    );
  });

  test("Metrics.text() lets the lag of a database grow that cannot start", async () => {
    const down = { state: "waiting", destinations: [], stats: undefined } as const;
    const label = '{db="/app.db",replica="s3://bucket/app"}';
    expect(await measured(down).lines()).toContain(`litestream_replica_lag_seconds${label} 2`);
    const never = measured({ ...down, syncedAt: undefined });
    expect(await never.lines()).toContain(`litestream_replica_lag_seconds${label} 60`);
    const stopped = await measured({ ...down, state: "stopped" }).lines();
    expect(stopped.join("\n")).not.toContain("litestream_replica_lag_seconds{");
  });

  test("Metrics.text() counts syncs, and measures each from cut to upload", async () => {
    const { tell, wait, lines } = measured();
    tell({ type: "commit", pages: 1 });
    tell({ type: "cut", txid: 11n, pages: 1, size: 300, full: false });
    wait(200);
    tell({ type: "uploaded", level: 0, txid: 11n, size: 300, destination: "a" });
    tell({ type: "uploaded", level: 0, txid: 11n, size: 300, destination: "b" });
    tell({ type: "stalled", destination: "a", error: undefined });
    expect(await lines()).toEqual(
      expect.arrayContaining([
        'litestream_commits_total{db="/app.db"} 1',
        'litestream_total_wal_bytes{db="/app.db"} 300',
        'litestream_sync_count{db="/app.db"} 1',
        'litestream_sync_seconds{db="/app.db"} 0.2',
        'litestream_sync_error_count{db="/app.db"} 1',
        'litestream_sync_duration_seconds_bucket{le="0.1",db="/app.db"} 0',
        'litestream_sync_duration_seconds_bucket{le="0.25",db="/app.db"} 1',
      ]),
    );
  });

  test("Metrics.text() counts checkpoints, those that failed among them", async () => {
    const { tell, lines } = measured();
    const error = new StoreError({ operation: "checkpoint", object: "/app.db", what: "EIO" });
    tell({ type: "checkpoint", mode: "PASSIVE", durationMs: 20, error: undefined });
    const label = '{db="/app.db",mode="PASSIVE"}';
    expect(await lines()).toContain(`litestream_checkpoint_error_count${label} 0`);
    tell({ type: "checkpoint", mode: "PASSIVE", durationMs: 30, error });
    expect(await lines()).toEqual(
      expect.arrayContaining([
        `litestream_checkpoint_count${label} 2`,
        `litestream_checkpoint_error_count${label} 1`,
        `litestream_checkpoint_seconds${label} 0.05`,
      ]),
    );
  });

  test("Metrics.text() counts the files of level 0 by what retention may do", async () => {
    const { tell, wait, lines } = measured();
    const upload = (txid: bigint): void => {
      tell({ type: "cut", txid, pages: 1, size: 1, full: false });
      tell({ type: "uploaded", level: 0, txid, size: 1, destination: "a" });
    };
    const counts = async () =>
      ["eligible", "too_recent", "not_compacted"].map(
        async (status) =>
          (await lines()).find((line) => line.includes(`status="${status}"`))?.split(" ")[1],
      );
    const read = async () => await Promise.all(await counts());
    upload(1n);
    upload(2n);
    wait(299_999);
    upload(3n);
    upload(4n);
    tell({ type: "compacted", level: 1, minTxid: 1n, maxTxid: 3n, size: 1, files: 3 });
    expect(await read()).toEqual(["0", "3", "1"]);
    wait(1);
    expect(await read()).toEqual(["2", "1", "1"]);
    tell({ type: "retained", files: 2, size: 2, destination: "a" });
    expect(await read()).toEqual(["0", "1", "1"]);
    wait(600_000);
    tell({ type: "compacted", level: 1, minTxid: 4n, maxTxid: 4n, size: 1, files: 1 });
    tell({ type: "retained", files: 1, size: 1, destination: "a" });
    expect(await read()).toEqual(["1", "0", "0"]);
  });

  test("Metrics.meter() counts requests, bytes, failures, time and money by database", async () => {
    const { metrics, lines } = measured();
    const plain = Object.assign(memoryStore(), { type: "s3" });
    const store = metrics.meter(plain, "/app.db");
    await store.put("a", new Uint8Array(10));
    await store.put("b", chunks(3, 6 << 20));
    const { body } = await store.get("a", { offset: 4 });
    await body.cancel();
    await store.head("a");
    await expect(store.get("none")).rejects.toThrow(NotFoundError);
    for await (const _ of store.list());
    await store.delete(["a"]);
    await store.deleteOne("b");
    const failing = metrics.meter(
      Object.assign(memoryStore(), {
        type: "s3",
        put: async () => {
          throw new StoreError({ operation: "put", object: "a", what: "503" });
        },
      }),
      "/app.db",
    );
    await expect(failing.put("a", new Uint8Array(1))).rejects.toThrow(StoreError);
    const label = (operation: string): string =>
      `{db="/app.db",replica_type="s3",operation="${operation}"}`;
    const found = await lines();
    expect(found).toEqual(
      expect.arrayContaining([
        // 18 MiB go as four parts, between a beginning and an end.
        `litestream_replica_operation_total${label("PUT")} 8`,
        `litestream_replica_operation_total${label("GET")} 3`,
        `litestream_replica_operation_total${label("LIST")} 1`,
        `litestream_replica_operation_total${label("DELETE")} 2`,
        `litestream_replica_operation_bytes${label("PUT")} ${(18 << 20) + 11}`,
        `litestream_replica_operation_bytes${label("GET")} 6`,
        `litestream_replica_operation_errors_total${label("PUT").slice(0, -1)},code="STORE"} 1`,
      ]),
    );
    expect(found.join("\n")).toContain('operation_duration_seconds_count{db="/app.db"');
    expect(found.filter((line) => line.includes("errors_total"))).toHaveLength(1);
    const cost = found.find((line) => line.startsWith("litestream_replica_cost_dollars_total"));
    expect(Number(cost?.split(" ")[1])).toBeCloseTo((8 * 5 + 3 * 0.4 + 5) / 1e6, 12);
  });

  test("Metrics leaves nothing of a database that was unregistered", async () => {
    const { metrics, tell, lines, remove } = measured();
    await metrics.meter(memoryStore(), "/app.db").put("a", new Uint8Array(1));
    tell({ type: "cut", txid: 11n, pages: 1, size: 300, full: false });
    tell({ type: "uploaded", level: 0, txid: 11n, size: 300, destination: "a" });
    remove();
    tell({ type: "unregistered", replica: "r" });
    await new Promise((resolve) => setImmediate(resolve));
    expect((await lines()).join("\n")).not.toContain("/app.db");
  });

  test("Metrics measures the process too, unless it is told not to", async () => {
    expect(await new Metrics().text()).toContain("process_cpu_seconds_total");
    expect(await new Metrics({ process: false }).text()).not.toContain("process_");
  });
});

async function* chunks(count: number, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield new Uint8Array(size);
}

test("docs/operations.md names every metric of Metrics, and no other", async () => {
  const page = readFileSync(new URL("../../../docs/operations.md", import.meta.url), "utf8");
  const named = [...page.matchAll(/^\|.*\|$/gm)].flatMap(
    ([row]) => row.match(/litestream_\w+/g) ?? [],
  );
  const metrics = await new Metrics({ process: false }).read();
  expect(named.toSorted()).toEqual(metrics.map(({ name }) => name).toSorted());
});

describe("the Grafana board", () => {
  const board = JSON.parse(
    readFileSync(new URL("../../../examples/operations/grafana.json", import.meta.url), "utf8"),
  ) as object;

  test("the Grafana board asks for metrics and labels that there are", async () => {
    const metrics = await new Metrics().read();
    const known = new Set(
      metrics.flatMap(({ name, type }) =>
        String(type) === "histogram"
          ? ["_bucket", "_sum", "_count"].map((end) => name + end)
          : [name],
      ),
    );
    const labels = new Set(["job", "instance", "le", ...LABELS]);
    const queries = [...JSON.stringify(board).matchAll(/"expr":"((?:[^"\\]|\\.)*)"/g)].map(
      ([, text]) => JSON.parse(`"${text}"`) as string,
    );
    expect(queries.length).toBeGreaterThan(10);
    for (const query of queries) {
      const names = query.match(/\b(?:litestream|process|nodejs)_\w+/g) ?? [];
      expect(names.length, query).toBeGreaterThan(0);
      for (const name of names) expect(known, query).toContain(name);
      const used = [...query.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, name]) => name);
      const grouped = [...query.matchAll(/\bby\s*\(([^)]*)\)/g)].flatMap(([, list = ""]) =>
        list.split(/\s*,\s*/),
      );
      for (const name of [...used, ...grouped]) expect(labels, query).toContain(name);
    }
  });
});

/** Labels of our metrics. */
const LABELS = [
  "db",
  "replica",
  "replica_type",
  "operation",
  "code",
  "status",
  "state",
  "level",
  "mode",
];
