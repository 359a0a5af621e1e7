/**
 * What a client may remove: what retention would, and what it keeps beside the levels.
 *
 * @module
 */
import { readAdopted } from "../replica/adopted.ts";
import { SNAPSHOT_LEVEL } from "../replica/layout.ts";
import type { LevelSettings } from "../replica/levels.ts";
import type { LtxFileInfo } from "../replica/replica.ts";
import { planRetention } from "../replica/retention.ts";
import { BESIDE } from "./ingest-beside.ts";
import type { IngestDesk } from "./ingest-desk.ts";
import { entityTag } from "./listing.ts";
import { Refusal } from "./refusal.ts";

/** An object to remove, or one version of it. */
export interface RemovedObject {
  /** As the index names it. */
  readonly key: string;
  /** Header `ETag` of the version. */
  readonly etag: string | undefined;
}

/** By how much a file may be too young, since the clocks of two machines differ. */
const GRACE_MS = 60_000;

/** Requests for exact times that are under way at once. */
const WINDOW = 16;

/** Removes all of the objects, or refuses and removes none. Those that are not there are no error. */
export async function removeObjects(
  desk: IngestDesk,
  objects: readonly RemovedObject[],
  options: { readonly settings: LevelSettings; readonly signal: AbortSignal },
): Promise<void> {
  const { replica } = desk;
  const { settings, signal } = options;
  const beside = BESIDE.filter(({ key }) => objects.some((object) => object.key === key));
  const kept = beside.find(({ isGuarded }) => isGuarded);
  if (kept !== undefined) throw new Refusal("CONFLICT", `${kept.key} may not be removed`);
  const wanted = new Map(objects.map(({ key, etag }) => [key, etag]));
  const levels = await desk.list(signal);
  const asked = levels.flat().filter((file) => wanted.has(servedKey(file)));
  const others = asked.find((file) => {
    const etag = wanted.get(servedKey(file));
    return etag !== undefined && etag !== entityTag({ ...file, lastModified: file.time });
  });
  if (others !== undefined) throw new Refusal("PRECONDITION_FAILED", "another version is there");
  if (asked.length > 0) {
    const times = await exactTimes(desk, asked, signal);
    const timed = levels.map((files) => files.map((file) => times.get(file.key) ?? file));
    const nowMs = replica.platform.clock.now() + GRACE_MS;
    const adopted = await readAdopted(replica, signal);
    const { decisions } = planRetention(timed, { ...settings, nowMs, adopted });
    const stays = decisions.find(({ file, remove }) => !remove && wanted.has(servedKey(file)));
    if (stays !== undefined) {
      const { file, reason } = stays;
      throw new Refusal("CONFLICT", `${servedKey(file)} may not be removed: ${reason}`);
    }
    // Snapshots last: as long as they are there, the same may go another time.
    const order = [...asked].sort((a, b) => rank(a) - rank(b));
    desk.forget();
    await replica.remove(order, { signal });
  }
  await replica.store.delete(
    beside.map(({ key }) => key),
    { signal },
  );
}

function rank({ level }: LtxFileInfo): number {
  return level === SNAPSHOT_LEVEL ? 1 : 0;
}

/** The key under which a file is served, whatever the layout of the store. */
function servedKey({ level, key }: LtxFileInfo): string {
  return `ltx/${level}/${key.slice(key.lastIndexOf("/") + 1)}`;
}

/** The files with the times that the objects themselves carry, which listings of some stores do not tell. */
async function exactTimes(
  { replica }: IngestDesk,
  files: readonly LtxFileInfo[],
  signal: AbortSignal,
): Promise<Map<string, LtxFileInfo>> {
  const times = new Map<string, LtxFileInfo>();
  if (replica.store.capabilities.metadataInList) return times;
  for (let at = 0; at < files.length; at += WINDOW) {
    const run = files.slice(at, at + WINDOW).map((file) => replica.find(file, { signal }));
    for (const file of await Promise.all(run)) if (file !== undefined) times.set(file.key, file);
  }
  return times;
}
