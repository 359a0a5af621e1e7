import { describe, expect, test } from "vitest";
import { bytesAt } from "../../test/helpers/bytes-at.ts";
import { ModelDatabase } from "../../test/helpers/model-database.ts";
import {
  bench,
  type Bench,
  durableState,
  keys,
  restored,
  run,
  start,
} from "../../test/helpers/primary-bench.ts";

/** Pages enough that a comparison cannot be taken for anything else. */
const PAGES = Array.from({ length: 20 }, (_, i) => i + 1);

/** A database whose states can be recognised, as those of a WAL can. */
class MarkedDatabase extends ModelDatabase {
  /** Pages that are committed while nobody listens, and that a proof delivers. */
  late: readonly number[] = [];
  /** Whether the marks that were given are recognised. */
  knows = true;
  /** Whether a proof holds for any mark. */
  isLenient = false;
  readonly asked: string[] = [];

  mark(sequence: number): string | undefined {
    return sequence === this.sequence ? `commit ${sequence}` : undefined;
  }

  proves(mark: string): number | undefined {
    this.asked.push(mark);
    const { sequence } = this;
    if (!this.knows || (!this.isLenient && mark !== `commit ${sequence}`)) return undefined;
    if (this.late.length > 0) this.write(this.late);
    return sequence;
  }
}

interface MarkedBench extends Bench {
  readonly database: MarkedDatabase;
}

function markedBench(): MarkedBench {
  return { ...bench(), database: new MarkedDatabase() };
}

/** Replicates what `work` commits, and closes. Returns how many images of the database were read. */
async function session(at: MarkedBench, work: () => void = () => {}): Promise<number> {
  const before = at.database.images;
  const replication = await start(at);
  work();
  await run(at.platform, replication.durable());
  await run(at.platform, replication.close());
  expect(await restored(at)).toEqual(at.database.bytes);
  return at.database.images - before;
}

describe("proveState()", () => {
  test("lets a database that nobody has touched go on without a page read", async () => {
    const at = markedBench();
    await session(at, () => at.database.write(PAGES));
    const files = await keys(at.store);
    expect(await session(at)).toBe(0);
    expect(at.database.asked).toEqual(["commit 1"]);
    expect(await keys(at.store)).toEqual(files);
    expect(await session(at, () => at.database.write([3]))).toBe(0);
    expect(await session(at)).toBe(0);
    expect(at.database.asked).toEqual(["commit 1", "commit 1", "commit 2"]);
  });

  test("ships what was committed after the state that is proven, and nothing else", async () => {
    const at = markedBench();
    await session(at, () => at.database.write(PAGES));
    const before = await keys(at.store);
    at.database.late = [4, 21];
    expect(await session(at)).toBe(0);
    expect((await keys(at.store)).length).toBe(before.length + 1);
  });

  test("is followed by a comparison where the source does not know the state, and then knows it", async () => {
    const at = markedBench();
    await session(at, () => at.database.write(PAGES));
    at.database.write([5]);
    expect(await session(at)).toBeGreaterThan(0);
    at.database.knows = false;
    expect(await session(at)).toBe(1);
    at.database.knows = true;
    expect(await session(at)).toBe(0);
  });

  test("recognises a state from a comparison that found the database equal", async () => {
    const at = markedBench();
    await session(at, () => at.database.write(PAGES));
    const lost = { ...at, state: durableState() };
    expect(await session(lost)).toBe(1);
    expect(await session(lost)).toBe(0);
  });

  test("is nothing to go on where another writer's files follow that state", async () => {
    const at = markedBench();
    await session(at, () => at.database.write(PAGES));
    const other = { ...at, state: durableState(), database: new MarkedDatabase() };
    other.database.load(at.database.bytes);
    await session(other, () => other.database.write([7]));
    await expect(session(at)).rejects.toMatchObject({ code: "DATABASE_BEHIND" });
    expect(at.database.asked).toEqual(["commit 1"]);
  });

  test("is nothing to go on while a file waits that may yet land: its bytes are uploaded again", async () => {
    const at = markedBench();
    await session(at, () => at.database.write(PAGES));
    await start({ ...at, store: { ...at.store, put: never } });
    at.database.write([9]);
    await at.platform.clock.advanceAsync(5_000);
    const [waiting = ""] = at.state.staged();
    const bytes = at.state.readStaged(waiting, 0, 1 << 20);
    // What was staged is part of what such a proof lets be delivered again: it would be another file of that name.
    at.database.isLenient = true;
    expect(await session(at)).toBeGreaterThan(0);
    expect(await bytesAt(at.store, `ltx/${waiting}`)).toEqual(bytes);
  });
});

/** A store that answers nothing. */
function never(): Promise<never> {
  return new Promise(() => {});
}
