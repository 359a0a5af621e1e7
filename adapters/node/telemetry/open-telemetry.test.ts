/** @module */
import { metrics as api } from "@opentelemetry/api";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { memoryStore } from "pagestream/transports/memory";
import { afterEach, expect, test } from "vitest";
import { Metrics } from "./metrics.ts";
import { observeMetrics } from "./open-telemetry.ts";

/** Collects when it is asked to. */
class ManualReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

afterEach(() => api.disable());

test("observeMetrics() shows OpenTelemetry every counter and gauge with its labels", async () => {
  const reader = new ManualReader();
  const provider = new MeterProvider({ readers: [reader] });
  api.setGlobalMeterProvider(provider);
  const metrics = new Metrics({ process: false });
  const end = await observeMetrics(metrics);
  await metrics.meter(memoryStore(), "/app.db").put("a", new Uint8Array(7));
  const read = async (): Promise<Map<string, unknown>> => {
    const { resourceMetrics } = await reader.collect();
    const all = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
    return new Map(
      all.map(({ descriptor, dataPoints }) => [
        descriptor.name,
        dataPoints.map(({ attributes, value }) => [attributes, value]),
      ]),
    );
  };
  const labels = { db: "/app.db", replica_type: "memory", operation: "PUT" };
  const found = await read();
  expect(found.get("litestream_replica_operation_bytes")).toEqual([[labels, 7]]);
  expect(found.get("litestream_replica_operation_duration_seconds_count")).toEqual([[labels, 1]]);
  end?.();
  await metrics.meter(memoryStore(), "/app.db").put("b", new Uint8Array(7));
  // The reader keeps what it was told last.
  expect((await read()).get("litestream_replica_operation_bytes")).toEqual([[labels, 7]]);
  await provider.shutdown();
});

test("observeMetrics() costs nothing where nobody reads", async () => {
  const end = await observeMetrics(new Metrics({ process: false }));
  expect(end).toBeTypeOf("function");
  end?.();
});
