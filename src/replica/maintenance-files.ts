/**
 * What is known of the files of a replica without asking: enough to compact, to take snapshots and to remove files.
 *
 * A listing fills it, and whatever this writer does keeps it up to date. Kept are the newest file of each level and what
 * the next passes look at: few files for an idle database, whatever its replica holds.
 *
 * @module
 */
import { type CompactionFiles, maxTxidOf } from "./compactor-plan.ts";
import { LEVEL_COUNT, SNAPSHOT_LEVEL } from "./layout.ts";
import type { LtxFileInfo } from "./replica.ts";

/** The known files of one replica. */
export class KnownFiles {
  /** Highest compaction level that is written. */
  readonly #top: number;
  #levels: LtxFileInfo[][];
  /** Whether all L0 files are known until they are removed: not where nothing removes them. */
  readonly keepsL0: boolean;

  /** Takes every file of a listing, level by level. */
  constructor(
    levels: readonly (readonly LtxFileInfo[])[],
    options: { readonly top: number; readonly keepsL0: boolean },
  ) {
    this.#top = options.top;
    this.keepsL0 = options.keepsL0;
    this.#levels = Array.from({ length: LEVEL_COUNT }, (_, level) => [...(levels[level] ?? [])]);
    this.#trim();
  }

  /** The known files of a level; not to be changed. */
  level(level: number): readonly LtxFileInfo[] {
    return this.#levels[level] ?? [];
  }

  /** The file of a level that reaches furthest. */
  newest(level: number): LtxFileInfo | undefined {
    return newestOf(this.level(level));
  }

  /** The levels from 1 upwards. */
  get above(): readonly (readonly LtxFileInfo[])[] {
    return this.#levels.slice(1);
  }

  /** What the next compaction into a level chooses from. */
  sourcesOf(level: number): CompactionFiles {
    return {
      target: this.level(level),
      sources: this.level(level - 1),
      snapshots: this.level(SNAPSHOT_LEVEL),
    };
  }

  /** When the oldest file was written that a level does not hold yet; `undefined` where it holds all. */
  waitsSince(level: number): number | undefined {
    const consumed = this.#consumed(level - 1);
    const times = this.level(level - 1).flatMap(({ maxTxid, time }) =>
      maxTxid > consumed ? [time.getTime()] : [],
    );
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** A file was written. */
  add(file: LtxFileInfo): void {
    const files = this.#levels[file.level] as LtxFileInfo[];
    const at = files.findIndex(({ key }) => key === file.key);
    if (at >= 0) files[at] = file;
    else files.push(file);
    if (file.level > 0) this.#trim();
    else if (!this.keepsL0) this.#trimLevel(0);
  }

  /** Files were removed. */
  remove(removed: readonly LtxFileInfo[]): void {
    const keys = new Set(removed.map(({ key }) => key));
    this.#levels = this.#levels.map((files) => files.filter(({ key }) => !keys.has(key)));
    this.#trim();
  }

  #trim(): void {
    for (let level = 0; level < SNAPSHOT_LEVEL; level++) this.#trimLevel(level);
  }

  /** Drops what the level above holds already, but for the newest file and what covers an L0 file that may go. */
  #trimLevel(level: number): void {
    if (level === 0 && this.keepsL0) return;
    const files = this.level(level);
    const newest = newestOf(files);
    const consumed = this.#consumed(level);
    const l0 = this.keepsL0 ? this.level(0) : [];
    const oldestL0 = l0.reduce(
      (min, { minTxid }) => (minTxid < min ? minTxid : min),
      consumed + 1n,
    );
    this.#levels[level] = files.filter(
      (file) =>
        file === newest || file.maxTxid > consumed || (level > 0 && file.maxTxid >= oldestL0),
    );
  }

  /** The last TXID of a level that no compaction will read any more. */
  #consumed(level: number): bigint {
    if (level >= this.#top) return maxTxidOf(this.level(level));
    const above = this.level(level + 1);
    return maxTxidOf(above.length === 0 ? this.level(SNAPSHOT_LEVEL) : above);
  }
}

function newestOf(files: readonly LtxFileInfo[]): LtxFileInfo | undefined {
  return files.reduce<LtxFileInfo | undefined>(
    (newest, file) => (newest === undefined || file.maxTxid > newest.maxTxid ? file : newest),
    undefined,
  );
}
