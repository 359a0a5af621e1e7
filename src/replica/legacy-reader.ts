/**
 * Files read one after the other, with the next ones already on their way: a day of Litestream 0.3 is tens of thousands of
 * segments, each smaller than what a request costs.
 *
 * @module
 */
import { throwIfAborted } from "../core/errors.ts";
import type { LegacyFile } from "./legacy-layout.ts";
import type { Replica } from "./replica.ts";

/** Bytes of one request. */
const PIECE_BYTES = 1024 * 1024;
/** Requests under way or waiting to be used: this many pieces are held at most. */
const AHEAD = 8;

/** Some bytes of a file, in order. */
export interface FilePiece {
  readonly file: LegacyFile;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

interface Request extends Omit<FilePiece, "bytes"> {
  readonly offset: number;
  readonly length: number;
}

/** Reads files whole, in order. A reader that stops early ends the requests under way. */
export async function* readFiles(
  replica: Replica,
  files: readonly LegacyFile[],
  signal: AbortSignal | undefined,
): AsyncGenerator<FilePiece, void, undefined> {
  const aborter = replica.platform.newAborter();
  const abort = (): void => aborter.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const requests = requestsOf(files);
  const queue: { readonly request: Request; readonly bytes: Promise<Uint8Array<ArrayBuffer>> }[] =
    [];
  try {
    for (;;) {
      while (queue.length < AHEAD) {
        const request = requests.next().value;
        if (request === undefined) break;
        const { file, offset, length } = request;
        const bytes = replica.read(file, { offset, length, signal: aborter.signal });
        // Whoever comes to it throws; until then it must not count as unhandled.
        bytes.catch(() => undefined);
        queue.push({ request, bytes });
      }
      const next = queue.shift();
      if (next === undefined) return;
      const { file, isFirst, isLast } = next.request;
      throwIfAborted(signal, "read", file.key);
      yield { file, isFirst, isLast, bytes: await next.bytes };
    }
  } finally {
    signal?.removeEventListener("abort", abort);
    aborter.abort();
  }
}

function* requestsOf(files: readonly LegacyFile[]): Generator<Request, undefined, undefined> {
  for (const file of files) {
    let offset = 0;
    do {
      const length = Math.min(PIECE_BYTES, file.size - offset);
      const isFirst = offset === 0;
      yield { file, offset, length, isFirst, isLast: offset + length === file.size };
      offset += length;
    } while (offset < file.size);
  }
  return undefined;
}
