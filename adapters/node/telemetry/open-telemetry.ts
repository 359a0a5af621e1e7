/**
 * The same metrics for OpenTelemetry, through its API package: whoever sets up an exporter in this process gets them.
 *
 * @module
 */
import type { BatchObservableResult, Observable } from "@opentelemetry/api";
import type { Metrics } from "./metrics.ts";

/** Bounds and parts of histograms, which the API has no way to observe: their sums and counts are told instead. */
const PARTS = ["_sum", "_count"];

/**
 * Lets OpenTelemetry observe the metrics of Pagestream by the names that Prometheus knows; those of the process are left
 * out, since it has its own. Returns the function that ends it; undefined where the API package is not installed.
 */
export async function observeMetrics(
  metrics: Pick<Metrics, "read">,
): Promise<(() => void) | undefined> {
  const api = await import("@opentelemetry/api").catch(() => undefined);
  if (api === undefined) return undefined;
  const meter = api.metrics.getMeter("pagestream");
  const observables = new Map<string, Observable>();
  for (const { name, help, type } of await metrics.read()) {
    if (!name.startsWith("litestream_")) continue;
    const options = { description: help };
    // What the type says it is, as the values are strings of the enumeration.
    const kind = String(type);
    if (kind === "gauge") observables.set(name, meter.createObservableGauge(name, options));
    else {
      for (const part of kind === "histogram" ? PARTS : [""]) {
        observables.set(name + part, meter.createObservableCounter(name + part, options));
      }
    }
  }
  const observe = async (result: BatchObservableResult): Promise<void> => {
    for (const { name, values } of await metrics.read()) {
      for (const value of values) {
        const observable = observables.get(
          (value as { readonly metricName?: string }).metricName ?? name,
        );
        if (observable !== undefined) result.observe(observable, value.value, { ...value.labels });
      }
    }
  };
  const all = [...observables.values()];
  meter.addBatchObservableCallback(observe, all);
  return () => meter.removeBatchObservableCallback(observe, all);
}
