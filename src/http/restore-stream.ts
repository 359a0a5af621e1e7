/**
 * A state of a replica as a stream of the database file: no more of it in memory than a restore holds anyway.
 *
 * @module
 */
import type { Replica } from "../replica/replica.ts";
import type { RestoreSink } from "../replica/restore-sink.ts";
import { restoreReplica } from "../replica/restore.ts";
import type { RestoreTarget } from "../replica/plan.ts";

/** Bytes of a piece: what a client must take in the time that it has for one. */
const PIECE_BYTES = 256 * 1024;

/** What of a state is wanted. */
export interface RestoreStreamOptions {
  /** The state. */
  readonly target: RestoreTarget;
  /** From which byte on, and up to which one. */
  readonly part: { readonly offset: number; readonly end: number };
  /** Ends the restore. */
  readonly signal: AbortSignal;
  /** Gets what broke the stream off, unless its reader did. */
  readonly onFailure: (error: unknown) => void;
}

/** Streams the file. It breaks off with an error where the replica turns out to be damaged, which may be at its very end. */
export function restoreStream(
  replica: Replica,
  { target, part, signal, onFailure }: RestoreStreamOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { platform } = replica;
  const ending = platform.newAborter();
  const { readable, writable } = new TransformStream<
    Uint8Array<ArrayBuffer>,
    Uint8Array<ArrayBuffer>
  >(undefined, { highWaterMark: 1 }, { highWaterMark: 0 });
  const writer = writable.getWriter();
  // A reader that has gone ends the restore at its next look at the signal.
  writer.closed.catch(() => ending.abort());
  let size = 0;
  const sink: RestoreSink = {
    name: "a download",
    journalHeader: "keep",
    start: (info) => void (size = info.size),
    async write(start, bytes) {
      const end = Math.min(bytes.length, part.end - start);
      for (let at = Math.max(0, part.offset - start); at < end; at += PIECE_BYTES) {
        await writer.ready;
        await writer.write(bytes.slice(at, Math.min(end, at + PIECE_BYTES)));
      }
      // Only the end of the file waits for the proof that everything was right.
      if (part.end === size || start + bytes.length < part.end || ending.signal.aborted) return;
      await writer.close();
      ending.abort();
    },
    truncate: () => undefined,
    finish: () => writer.close(),
    abort: () => undefined,
  };
  const both = AbortSignal.any([signal, ending.signal]);
  restoreReplica(replica, sink, { ...target, platform, position: false, signal: both }).catch(
    (error: unknown) => {
      if (!both.aborted) onFailure(error);
      return writer.abort(error).catch(() => undefined);
    },
  );
  return readable;
}
