/**
 * Settings under which a replica holds what was uploaded and nothing else.
 *
 * @module
 */
import type { LevelsOptions } from "../../src/replica/levels.ts";

/** No compaction, no removal, and no snapshot for ten years: for tests that are about single uploads. */
export const QUIET_LEVELS: LevelsOptions = {
  levels: [],
  snapshot: { intervalMs: 10 * 365 * 86_400_000 },
  retention: { enabled: false },
};
