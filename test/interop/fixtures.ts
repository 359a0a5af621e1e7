/**
 * Replicas that released Litestream binaries wrote, and what those binaries restored from them.
 *
 * @module
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = new URL("../fixtures/", import.meta.url).pathname;

/** A file of a recorded replica. */
export interface FixtureFile {
  /** Path inside the replica. */
  readonly path: string;
  readonly size: number;
  /** Modification time, which is the creation time of an LTX file, in milliseconds. */
  readonly mtime_ms: number;
  readonly sha256: string;
}

/** What Litestream 0.5.17 answered to one restore. */
export interface RestoreRecord {
  readonly kind: "latest" | "txid" | "timestamp";
  /** 16 hex digits, or RFC 3339. */
  readonly value?: string;
  /** TXID of the state, where it was restored from LTX files. */
  readonly txid?: string;
  /** Level and name of the files of the plan, in order. */
  readonly files?: readonly string[];
  readonly sha256?: string;
  readonly size?: number;
  readonly error?: string;
  readonly exit?: number;
}

/** A recorded replica. */
export interface Fixture {
  readonly litestream: readonly string[];
  readonly page_size: number;
  readonly files: readonly FixtureFile[];
  readonly restore: readonly RestoreRecord[];
}

/** All fixtures by name. */
export const fixtures: Readonly<Record<string, Fixture>> = JSON.parse(
  readFileSync(join(ROOT, "manifest.json"), "utf8"),
);

/** A copy of a fixture's replica, with the file times that git does not keep. */
export interface UnpackedFixture {
  /** Directory of the replica. */
  readonly path: string;
  remove(): void;
}

/** Copies a replica to a temporary directory. */
export function unpackFixture(name: string): UnpackedFixture {
  const parent = mkdtempSync(join(tmpdir(), `pagestream-${name}-`));
  const path = join(parent, "replica");
  cpSync(join(ROOT, name, "replica"), path, { recursive: true });
  for (const file of (fixtures[name] as Fixture).files) {
    // A double cannot hold every millisecond as seconds: the half microsecond keeps it from being cut to the one before.
    const seconds = (file.mtime_ms + 0.0005) / 1000;
    utimesSync(join(path, file.path), seconds, seconds);
  }
  return { path, remove: () => rmSync(parent, { recursive: true, force: true }) };
}

/** An LTX file of a fixture, as its path and time tell it. */
export interface FixtureLtx {
  readonly level: number;
  readonly min: bigint;
  readonly max: bigint;
  readonly time: number;
}

/** The LTX files of a fixture. */
export function ltxFiles(fixture: Fixture): FixtureLtx[] {
  return fixture.files.flatMap((file) => {
    const match = /^ltx\/(\d)\/([0-9a-f]{16})-([0-9a-f]{16})\.ltx$/.exec(file.path);
    if (match === null) return [];
    const [min, max] = [BigInt(`0x${match[2]}`), BigInt(`0x${match[3]}`)];
    return [{ level: Number(match[1]), min, max, time: file.mtime_ms }];
  });
}

/**
 * The furthest TXID that an unbroken chain of the given files reaches, 0 for none: worked out by trying everything, not
 * as the planner does it.
 */
export function furthest(files: readonly FixtureLtx[]): bigint {
  let reached = 0n;
  for (;;) {
    const further = files.find((f) => f.min <= reached + 1n && f.max > reached);
    if (further === undefined) return reached;
    reached = further.max;
  }
}
