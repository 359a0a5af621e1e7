/**
 * The benchmark harness: medians of interleaved runs, with the runtime and the processor they were taken on.
 *
 * @module
 */
import { cpus } from "node:os";

/** One thing to time. */
export interface BenchmarkCase {
  readonly name: string;
  /** Does the work once; what it returns is kept alive and otherwise ignored. */
  readonly run: () => unknown;
  /** Bytes that one run works on, for MB/s. */
  readonly bytes?: number;
}

/** What was measured of one case. */
export interface BenchmarkResult {
  readonly name: string;
  /** Median time of a run in milliseconds. */
  readonly medianMs: number;
  /** Fastest and slowest run in milliseconds. */
  readonly rangeMs: readonly [number, number];
  /** Megabytes (10^6 bytes) a second at the median; `undefined` without `bytes`. */
  readonly megabytesPerSecond: number | undefined;
}

/** How often to run. */
export interface MeasureOptions {
  /** Timed runs of each case. @default 7 */
  readonly runs?: number;
  /** Runs of each case before, not timed. @default 2 */
  readonly warmUp?: number;
}

let sink: unknown;

/**
 * Times every case, one run of each in turn, so that whatever else the machine does hits all alike. A run may return a
 * promise; its time ends when that resolves.
 */
export async function measure(
  cases: readonly BenchmarkCase[],
  options: MeasureOptions = {},
): Promise<BenchmarkResult[]> {
  const { runs = 7, warmUp = 2 } = options;
  const times = cases.map((): number[] => []);
  for (let round = -warmUp; round < runs; round++) {
    for (const [i, { run }] of cases.entries()) {
      const start = performance.now();
      const value = run();
      sink = value instanceof Promise ? await value : value;
      if (round >= 0) times[i]!.push(performance.now() - start);
    }
  }
  return cases.map(({ name, bytes }, i) => {
    const sorted = times[i]!.toSorted((a, b) => a - b);
    const medianMs = sorted[sorted.length >> 1]!;
    return {
      name,
      medianMs,
      rangeMs: [sorted[0]!, sorted.at(-1)!],
      megabytesPerSecond: bytes === undefined ? undefined : bytes / 1e3 / medianMs,
    };
  });
}

/** The last value a run returned; reading it somewhere keeps the work from being optimised away. */
export function lastValue(): unknown {
  return sink;
}

/** The runtime and the processor, one line. */
export function describeMachine(): string {
  const { versions } = process as { versions: Record<string, string | undefined> };
  const runtime =
    versions["bun"] !== undefined
      ? `Bun ${versions["bun"]}`
      : versions["deno"] !== undefined
        ? `Deno ${versions["deno"]}`
        : `Node ${versions["node"]}`;
  const cores = cpus();
  return `${runtime}, ${process.arch}, ${cores.length} x ${cores[0]?.model ?? "unknown processor"}`;
}

/** Prints results as a table; the last column relates each case to the one named `reference`. */
export function printResults(
  title: string,
  results: readonly BenchmarkResult[],
  reference?: string,
): void {
  const base = results.find((result) => result.name === reference);
  console.log(`\n${title}`);
  const width = Math.max(...results.map((result) => result.name.length));
  for (const { name, medianMs, rangeMs, megabytesPerSecond } of results) {
    const speed =
      megabytesPerSecond === undefined ? "" : `${megabytesPerSecond.toFixed(0).padStart(7)} MB/s`;
    const ratio = base === undefined ? "" : `  ${(base.medianMs / medianMs).toFixed(2)} x`;
    const [least, most] = rangeMs;
    const time = `${medianMs.toFixed(2).padStart(9)} ms (${least.toFixed(2)} to ${most.toFixed(2)})`;
    console.log(`  ${name.padEnd(width)}  ${time}  ${speed}${ratio}`);
  }
}
