/**
 * A part of the database file as a stream of its pages, for which nothing before it is read.
 *
 * @module
 */
import { lockPage } from "../core/lock-page.ts";
import type { ReplicaReader, ReplicaView } from "../replica/reader-options.ts";
import { Refusal } from "./refusal.ts";

/** Bytes of a piece: what a client must take in the time that it has for one. */
const PIECE_BYTES = 256 * 1024;

/** What is streamed, and for whom. */
export interface PageStreamOptions {
  /** The state. */
  readonly view: ReplicaView;
  /** From which byte on, and up to which one. */
  readonly part: { readonly offset: number; readonly end: number };
  /** Ends the reading. */
  readonly signal: AbortSignal;
  /** Called once, at the end, with what broke the stream off unless its reader did. */
  readonly ended: (failure?: unknown) => void;
}

/** Streams the part. It breaks off with an error where a page cannot be read. */
export function pageStream(
  reader: ReplicaReader,
  { view, part, signal, ended }: PageStreamOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { pageSize, commit } = view;
  const lock = lockPage(pageSize);
  const release = reader.pin(view);
  let { offset } = part;
  let isOver = false;
  const end = (failure?: unknown): void => {
    if (isOver) return;
    isOver = true;
    release();
    ended(failure);
  };
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const first = Math.floor(offset / pageSize);
          const most = Math.max(1, PIECE_BYTES / pageSize);
          const count = Math.min(most, Math.ceil(part.end / pageSize) - first, commit - first);
          const pgnos = Array.from({ length: count }, (_, i) => first + i + 1);
          const wanted = pgnos.filter((pgno) => pgno !== lock);
          await reader.fetch(view, wanted, { signal });
          const bytes = new Uint8Array(count * pageSize);
          for (const [i, pgno] of pgnos.entries()) {
            const page = reader.peek(view, pgno);
            if (page === undefined) throw new Refusal("STORE", "the replica could not be read");
            bytes.set(page, i * pageSize);
          }
          const start = first * pageSize;
          const until = Math.min(part.end, start + bytes.length);
          controller.enqueue(bytes.subarray(offset - start, until - start));
          offset = until;
          if (offset < part.end) return;
          controller.close();
          end();
        } catch (error) {
          controller.error(error);
          end(signal.aborted ? undefined : error);
        }
      },
      cancel: () => end(),
    },
    { highWaterMark: 0 },
  );
}
