/**
 * List prices of stores, as of November 2026: see `docs/cost.md` for where each was read. They differ between regions and
 * change; nothing but an estimate depends on them.
 *
 * @module
 */
import type { CostPrices } from "./cost.ts";

/** Prices in US dollars, of the standard storage class. */
export const COST_PRICES: {
  /** Amazon S3, us-east-1; reading from outside AWS. */
  readonly s3: CostPrices;
  /** Cloudflare R2. */
  readonly r2: CostPrices;
  /** Google Cloud Storage, one region of the United States; reading from outside. */
  readonly gcs: CostPrices;
  /** Azure Blob Storage, Hot, LRS, East US; reading from outside. */
  readonly azure: CostPrices;
  /** Backblaze B2. */
  readonly b2: CostPrices;
} = {
  s3: {
    currency: "USD",
    millionPuts: 5,
    millionGets: 0.4,
    millionLists: 5,
    storedGb: 0.023,
    readGb: 0.09,
  },
  r2: {
    currency: "USD",
    millionPuts: 4.5,
    millionGets: 0.36,
    millionLists: 4.5,
    storedGb: 0.015,
    free: { puts: 1e6, gets: 1e7, storedGb: 10 },
  },
  gcs: {
    currency: "USD",
    millionPuts: 5,
    millionGets: 0.4,
    millionLists: 5,
    storedGb: 0.02,
    readGb: 0.12,
  },
  azure: {
    currency: "USD",
    millionPuts: 5,
    millionGets: 0.4,
    millionLists: 5,
    storedGb: 0.018,
    readGb: 0.087,
  },
  b2: {
    currency: "USD",
    millionPuts: 0,
    millionGets: 0.4,
    millionLists: 4,
    storedGb: 0.006,
    readGb: 0.01,
  },
};
