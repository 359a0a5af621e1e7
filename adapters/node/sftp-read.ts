/**
 * Reading a file on an SFTP server, several requests ahead.
 *
 * @module
 */
import { isPagestreamError, StoreError } from "pagestream";
import { decodeHeader, LTX_HEADER_SIZE } from "pagestream/ltx";
import {
  abortable,
  type BodyContext,
  type ByteRange,
  formatTimestamp,
  throwIfAborted,
  TIMESTAMP_METADATA,
} from "pagestream/transports/store-kit";
import type { Stats } from "ssh2";
import {
  type SftpContext,
  SFTP_STATUS,
  sftpError,
  type SftpSession,
  statusOf,
  TRANSFER_SIZE,
} from "./sftp-connection.ts";
import { checkFile } from "./sftp-tree.ts";

/** A file that is open for reading. */
export interface OpenFile {
  /** Of the open file: another may have its name by now. */
  readonly stats: Stats;
  /** The bytes of a range; closes the file at its end, on cancellation and on failure. */
  body(range: ByteRange, context: BodyContext): ReadableStream<Uint8Array>;
  /** Closes it without reading. */
  close(): void;
}

/** Opens a file that is there. */
export async function openFile(
  session: SftpSession,
  path: string,
  context: SftpContext,
): Promise<OpenFile> {
  const handle = await session
    .ask<Buffer>((sftp, done) => sftp.open(path, "r", done))
    .catch((error: unknown) => failed(error, context));
  const close = (): void => {
    // A server that does not answer has closed it already.
    session.ask<void>((sftp, done) => sftp.close(handle, done)).catch(() => undefined);
  };
  try {
    const stats = await session.ask<Stats>((sftp, done) => sftp.fstat(handle, done));
    return {
      stats: checkFile(stats, context),
      body: (range, reader) => streamOf(chunksOf(session, { handle, range }, reader), close),
      close,
    };
  } catch (error) {
    close();
    return failed(error, context);
  }
}

/** Throws what a failure means; the file was there a moment ago. */
function failed(error: unknown, context: SftpContext): never {
  if (isPagestreamError(error)) throw error;
  if (statusOf(error) === SFTP_STATUS.noSuchFile) checkFile(undefined, context);
  throw sftpError(error, context);
}

async function* chunksOf(
  session: SftpSession,
  { handle, range }: { handle: Buffer; range: ByteRange },
  context: BodyContext,
): AsyncGenerator<Uint8Array, void, undefined> {
  const ahead: Promise<Buffer>[] = [];
  let asked = range.start;
  for (let read = range.start; read < range.end;) {
    while (ahead.length < session.inFlight && asked < range.end) {
      const length = Math.min(TRANSFER_SIZE, range.end - asked);
      const chunk = readExactly(session, { handle, offset: asked, length }, context);
      // Those behind a failure are waited for by nobody.
      chunk.catch(() => undefined);
      ahead.push(chunk);
      asked += length;
    }
    throwIfAborted(context.signal, context.operation, context.object);
    const bytes = await abortable(ahead.shift() as Promise<Buffer>, context);
    read += bytes.length;
    yield new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}

async function readExactly(
  session: SftpSession,
  { handle, offset, length }: { handle: Buffer; offset: number; length: number },
  context: SftpContext,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const count = await session
      .ask<number>((sftp, end) => sftp.read(handle, bytes, done, length - done, offset + done, end))
      .catch((error: unknown) => failed(error, context));
    if (count === 0) throw cut(context, offset + done);
    done += count;
  }
  return bytes;
}

function cut({ operation, object }: SftpContext, at: number): StoreError {
  return new StoreError({
    operation,
    object,
    what: `the file ended at byte ${at} although it was longer when it was opened`,
    next: "Keep other programs from changing the files of a replica",
  });
}

/** Reads on demand, so that a body that nobody reads costs nothing but its handle. */
function streamOf(
  chunks: AsyncGenerator<Uint8Array, void, undefined>,
  close: () => void,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await chunks.next();
          if (done !== true) {
            controller.enqueue(value);
            return;
          }
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        close();
      },
      async cancel() {
        await chunks.return();
        close();
      },
    },
    { highWaterMark: 0 },
  );
}

/** The time in the header of an LTX file, as metadata; `undefined` where the file is none. */
export async function headerTime(
  session: SftpSession,
  path: string,
  context: BodyContext,
): Promise<Readonly<Record<string, string>> | undefined> {
  const { stats, body } = await openFile(session, path, context);
  const header = new Uint8Array(LTX_HEADER_SIZE);
  let size = 0;
  for await (const chunk of body(
    { start: 0, end: Math.min(LTX_HEADER_SIZE, stats.size) },
    context,
  )) {
    header.set(chunk, size);
    size += chunk.length;
  }
  try {
    const { timestamp } = decodeHeader(header.subarray(0, size));
    return { [TIMESTAMP_METADATA]: formatTimestamp(Number(timestamp)) };
  } catch {
    return undefined;
  }
}
