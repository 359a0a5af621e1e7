import { expect, test } from "vitest";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { planRound } from "./plan.ts";
import { Soak } from "./soak.ts";

const NIGHTLY = process.env["PAGESTREAM_NIGHTLY"] === "1";
/** A round begins as long as this time is not over: a minute with everything else, an hour at night. */
const SECONDS = Number(process.env["PAGESTREAM_SOAK_SECONDS"] ?? (NIGHTLY ? 3_600 : 50));
const SEED = Number(process.env["PAGESTREAM_SEED"] ?? (NIGHTLY ? Date.now() % 1e9 : 7_007));

test(
  `a follower misses nothing, whoever is killed and whatever fails (seed ${SEED}, ${SECONDS} s)`,
  async () => {
    await using soak = new Soak();
    const random = seededRandom(SEED);
    const end = performance.now() + SECONDS * 1_000;
    while (performance.now() < end) {
      const round = planRound(random.fork());
      try {
        await soak.run(round);
      } catch (error) {
        const what = `seed ${SEED} round ${soak.done.rounds}: ${JSON.stringify(round)}`;
        throw new Error(what, { cause: error });
      }
    }
    console.log(`soak: ${JSON.stringify(soak.done)}, seed ${SEED}`);
    expect(soak.done.rounds).toBeGreaterThan(0);
  },
  (SECONDS + 120) * 1_000,
);
