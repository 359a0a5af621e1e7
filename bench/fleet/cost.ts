/**
 * The table of `docs/cost.md`: what a month costs, for a few ways of writing: `node bench/fleet/cost.ts`.
 *
 * @module
 */
import { COST_PRICES, type CostProfile, estimateCost } from "../../src/api/index.ts";

const profiles: readonly (readonly [string, CostProfile])[] = [
  ["1 commit/s", { writesPerSecond: 1, databaseBytes: 1e9 }],
  ["1 commit/s, `groupMs` 10000", { writesPerSecond: 1, databaseBytes: 1e9, groupMs: 10_000 }],
  [
    "the same without a lease",
    { writesPerSecond: 1, databaseBytes: 1e9, groupMs: 10_000, lease: false },
  ],
  ["1 commit/s, 8 h a day", { writesPerSecond: 1, databaseBytes: 1e9, activeShare: 1 / 3 }],
  ["1 commit a minute", { writesPerSecond: 1 / 60, databaseBytes: 1e8 }],
  ["1 commit an hour", { writesPerSecond: 1 / 3_600, databaseBytes: 1e7 }],
  ["1 commit/s, 1 follower", { writesPerSecond: 1, databaseBytes: 1e9, followers: 1 }],
  ["idle", { writesPerSecond: 0, databaseBytes: 1e9 }],
  [
    "1,000 databases, 1 commit a minute each",
    { writesPerSecond: 1 / 60, databaseBytes: 1e7, databases: 1_000 },
  ],
];
const vendors = ["s3", "r2", "gcs", "azure", "b2"] as const;
const count = (value: number): string => Math.round(value).toLocaleString("en-US");

console.log(`| written | uploads | reads | lists | stored | ${vendors.join(" | ")} |`);
console.log(`| --- | ---: | ---: | ---: | ---: |${" ---: |".repeat(vendors.length)}`);
for (const [name, profile] of profiles) {
  const { requests, bytes } = estimateCost(profile, COST_PRICES.s3);
  const totals = vendors.map(
    (vendor) => `$${estimateCost(profile, COST_PRICES[vendor]).money.total.toFixed(2)}`,
  );
  const cells = [count(requests.puts), count(requests.gets), count(requests.lists)];
  console.log(
    `| ${name} | ${cells.join(" | ")} | ${(bytes.stored / 1e9).toFixed(2)} GB | ${totals.join(" | ")} |`,
  );
}
