/**
 * What a server knows of a replica that clients write to, and who may write now.
 *
 * A file after the newest one is judged by a listing of the last seconds: were another server's file newer than that, its name
 * would be taken, which creation notices. Everything else is judged by a listing of its own.
 *
 * @module
 */
import { decodeHeader, LTX_HEADER_SIZE, type LtxHeader } from "../ltx/header.ts";
import { compareSpans, type FileSpan } from "../replica/layout.ts";
import type { LtxFileInfo, Replica } from "../replica/replica.ts";
import { type Admission, judgeFile, newestOf, type StateHeader } from "./ingest-rules.ts";
import { Refusal } from "./refusal.ts";

/** How long a listing counts: far less than the name of a file stays. */
const FRESH_MS = 15_000;

/** What came of asking whether a file may come. */
export type Decision =
  | (Admission & { readonly there: undefined })
  /** A file of this name is there. */
  | { readonly there: LtxFileInfo };

interface Listed {
  readonly levels: LtxFileInfo[][];
  /** Monotonic time. */
  readonly at: number;
}

/** The desk at which files for one replica are handed in. */
export class IngestDesk {
  /** The replica that is written to. */
  readonly replica: Replica;
  #listed: Listed | undefined;
  #newest: { readonly key: string; readonly header: StateHeader } | undefined;
  readonly #busy = new Set<"lowest" | "merged">();

  /** Asks nothing yet. */
  constructor(replica: Replica) {
    this.replica = replica;
  }

  /** Takes the turn of writing to a level: one file of level 0 and one merged file come at a time. Returns what ends it. */
  takeTurn(level: number): Turn {
    const taken: ("lowest" | "merged")[] = [];
    const take = (lane: "lowest" | "merged"): void => {
      if (this.#busy.has(lane)) {
        throw new Refusal("BUSY", "another file is being written", { "retry-after": "1" });
      }
      this.#busy.add(lane);
      taken.push(lane);
    };
    take(level === 0 ? "lowest" : "merged");
    return {
      lead: () => {
        if (level > 0) take("lowest");
      },
      end: () => {
        for (const lane of taken.splice(0)) this.#busy.delete(lane);
      },
    };
  }

  /** Decides on a file by its name and header; refuses what cannot join. */
  async decide(
    span: FileSpan,
    header: LtxHeader,
    options: { readonly signal: AbortSignal; readonly turn: Turn },
  ): Promise<Decision> {
    const { signal, turn } = options;
    const { clock } = this.replica.platform;
    const levels = this.#follows(span) ?? (await this.list(signal));
    const key = this.replica.key(span);
    const there = levels[span.level]?.find((file) => file.key === key);
    if (there !== undefined) return { there };
    if (span.maxTxid > (newestOf(levels.flat())?.maxTxid ?? 0n)) turn.lead();
    const known = {
      levels,
      header: (file: LtxFileInfo) => this.#headerOf(file, signal),
    };
    const verdict = await judgeFile(span, header, { known, nowMs: clock.now() });
    if ("reason" in verdict) throw new Refusal("CONFLICT", verdict.reason);
    return { ...verdict, there: undefined };
  }

  /** A listing of all levels of this moment. */
  async list(signal: AbortSignal): Promise<LtxFileInfo[][]> {
    const at = this.replica.platform.clock.monotonic();
    const levels = await this.replica.levels({ signal });
    this.#listed = { levels, at };
    return levels;
  }

  /** A file has been created. */
  landed(file: LtxFileInfo, header: StateHeader): void {
    const level = this.#listed?.levels[file.level];
    level?.push(file);
    level?.sort(compareSpans);
    if (newestOf(this.#listed?.levels.flat() ?? [])?.key === file.key) {
      this.#newest = { key: file.key, header };
    }
  }

  /** Whatever is known may be wrong. */
  forget(): void {
    this.#listed = undefined;
    this.#newest = undefined;
  }

  /** What was listed not long ago, for a file that comes right after it. */
  #follows({ level, maxTxid }: FileSpan): LtxFileInfo[][] | undefined {
    const { platform, store } = this.replica;
    const listed = this.#listed;
    if (level > 0 || listed === undefined || !store.capabilities.conditionalPut) return undefined;
    if (platform.clock.monotonic() - listed.at > FRESH_MS) return undefined;
    const newest = newestOf(listed.levels.flat());
    return newest !== undefined && maxTxid === newest.maxTxid + 1n ? listed.levels : undefined;
  }

  async #headerOf(file: LtxFileInfo, signal: AbortSignal): Promise<StateHeader> {
    if (this.#newest?.key === file.key) return this.#newest.header;
    const header = await readHeaderOf(this.replica, file, signal);
    if (newestOf(this.#listed?.levels.flat() ?? [])?.key === file.key) {
      this.#newest = { key: file.key, header };
    }
    return header;
  }
}

/** A turn of writing. */
export interface Turn {
  /** The file leads beyond the newest one: nothing of level 0 comes meanwhile. */
  lead(): void;
  /** Others may write. */
  end(): void;
}

/** The header of a file that is there. */
export async function readHeaderOf(
  replica: Replica,
  file: LtxFileInfo,
  signal: AbortSignal,
): Promise<LtxHeader> {
  const bytes = await replica.read(file, { length: LTX_HEADER_SIZE, signal });
  return decodeHeader(bytes, file.key);
}
