/**
 * Writing a file on an SFTP server so that it appears whole and dated, or not at all.
 *
 * @module
 */
import process from "node:process";
import { StoreError, UnsupportedError } from "pagestream";
import {
  alreadyExists,
  type BodyContext,
  bodyParts,
  inParallel,
  throwIfAborted,
} from "pagestream/transports/store-kit";
import type { Stats } from "ssh2";
import {
  SFTP_STATUS,
  type SftpContext,
  sftpError,
  type SftpRequest,
  type SftpSession,
  statusOf,
  TRANSFER_SIZE,
} from "./sftp-connection.ts";
import { readDirectory, statOf, TEMP_NAME } from "./sftp-tree.ts";

/**
 * When the file of a writer that was killed is removed. No upload takes so long, and no clocks differ so much: both the time in the
 * name, by the clock of the writer, and that of the file, by the server's, must be past it.
 */
const ABANDONED_MS = 24 * 3_600_000;

/** What {@linkcode writeFile} writes, and how. */
export interface SftpWrite {
  readonly path: string;
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
  /** Fail where the file exists, instead of replacing it. */
  readonly createOnly: boolean;
  /** Time the file gets, in seconds since the Unix epoch. */
  readonly mtime: number | undefined;
  readonly context: BodyContext;
}

/** Writes a file; runs to its end, with all cleaning up, whatever happens to the signal. */
export async function writeFile(session: SftpSession, write: SftpWrite): Promise<void> {
  const { path, body, createOnly, mtime, context } = write;
  // As Litestream names them; the last digits are chance, so that two stores of a process do not meet.
  const nanos = `${Date.now()}${Math.floor(Math.random() * 1e6)
    .toString()
    .padStart(6, "0")}`;
  const temp = `${path}.${process.pid}.${nanos}.tmp`;
  const handle = await openTemp(session, temp, context);
  try {
    let size = 0;
    try {
      size = await writeBody(session, { handle, body }, context);
      if (session.canSync) {
        await step(session, context, (sftp, done) => sftp.ext_openssh_fsync(handle, done));
      }
    } finally {
      await step(session, context, (sftp, done) => sftp.close(handle, done));
    }
    if (mtime !== undefined) {
      const times = { atime: mtime, mtime };
      await step(session, context, (sftp, done) => sftp.setstat(temp, times, done));
    }
    await checkSize(session, { temp, size }, context);
    throwIfAborted(context.signal, context.operation, context.object);
    await (createOnly ? link : replace)(session, { temp, path }, context);
  } catch (error) {
    // What stopped the write is the error to tell of; a temporary file that cannot be removed is never listed.
    await session.ask<void>((sftp, done) => sftp.unlink(temp, done)).catch(() => undefined);
    throw error;
  }
}

/** One request whose refusal is this store's error. */
async function step(
  session: SftpSession,
  context: SftpContext,
  request: SftpRequest<void>,
): Promise<void> {
  try {
    return await session.ask(request);
  } catch (error) {
    throw sftpError(error, context);
  }
}

async function openTemp(session: SftpSession, temp: string, context: SftpContext): Promise<Buffer> {
  const open = (): Promise<Buffer> =>
    session.ask<Buffer>((sftp, done) => sftp.open(temp, "wx", { mode: 0o600 }, done));
  try {
    return await open();
  } catch (error) {
    if (statusOf(error) !== SFTP_STATUS.noSuchFile) throw sftpError(error, context);
  }
  await makeDirectory(session, parentOf(temp), context);
  return await open().catch((error: unknown) => {
    throw sftpError(error, context);
  });
}

async function makeDirectory(
  session: SftpSession,
  path: string,
  context: SftpContext,
): Promise<void> {
  if (path === "" || path === "/") return;
  const make = (): Promise<unknown> =>
    session.ask<void>((sftp, done) => sftp.mkdir(path, { mode: 0o700 }, done));
  try {
    await make();
  } catch (error) {
    if (statusOf(error) === SFTP_STATUS.noSuchFile) {
      await makeDirectory(session, parentOf(path), context);
      await make().catch(() => undefined);
    }
    // Another writer may have been first.
    const there = session.ask<Stats>((sftp, done) => sftp.stat(path, done));
    const stats = await there.catch(() => undefined);
    if (stats?.isDirectory() !== true) throw sftpError(error, context);
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), path.startsWith("/") ? 1 : 0));
}

/** Returns how many bytes were written. */
async function writeBody(
  session: SftpSession,
  { handle, body }: { handle: Buffer; body: SftpWrite["body"] },
  context: BodyContext,
): Promise<number> {
  let size = 0;
  await inParallel(
    bodyParts(body, TRANSFER_SIZE, context),
    session.inFlight,
    async ({ index, bytes }) => {
      size += bytes.length;
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      await step(session, context, (sftp, done) =>
        sftp.write(handle, buffer, 0, buffer.length, index * TRANSFER_SIZE, done),
      );
    },
  );
  return size;
}

/** Some servers acknowledge what they only mean to write. */
async function checkSize(
  session: SftpSession,
  { temp, size }: { temp: string; size: number },
  context: SftpContext,
): Promise<void> {
  const stats = await statOf(session, temp, context);
  if (stats?.size === size) return;
  const { operation, object } = context;
  throw new StoreError({
    operation,
    object,
    what: `the server keeps ${stats?.size ?? 0} of ${size} bytes`,
    next: "Check the space on its disk",
  });
}

interface Move {
  readonly temp: string;
  readonly path: string;
}

/** A hard link to a name that exists fails, in one step; what else servers offer shows a file before its last byte. */
async function link(
  session: SftpSession,
  { temp, path }: Move,
  context: SftpContext,
): Promise<void> {
  try {
    await session.ask<void>((sftp, done) => sftp.ext_openssh_hardlink(temp, path, done));
  } catch (error) {
    if (statusOf(error) === SFTP_STATUS.unsupported) throw noLinks(context);
    if (statusOf(error) === SFTP_STATUS.failure && (await statOf(session, path, context))) {
      throw alreadyExists(context.object);
    }
    throw sftpError(error, context);
  }
  await step(session, context, (sftp, done) => sftp.unlink(temp, done));
}

/** In one step where the server offers it, or overwrites by itself; else there is nothing for a moment. */
async function replace(
  session: SftpSession,
  { temp, path }: Move,
  context: SftpContext,
): Promise<void> {
  const rename = (): Promise<unknown> =>
    session.ask<void>((sftp, done) => sftp.rename(temp, path, done));
  try {
    await session.ask<void>((sftp, done) => sftp.ext_openssh_rename(temp, path, done));
    return;
  } catch (error) {
    if (statusOf(error) !== SFTP_STATUS.unsupported) throw sftpError(error, context);
  }
  try {
    await rename();
  } catch (error) {
    if (statusOf(error) === undefined || !(await statOf(session, path, context))) {
      throw sftpError(error, context);
    }
    await step(session, context, (sftp, done) => sftp.unlink(path, done));
    await rename().catch((second: unknown) => {
      throw sftpError(second, context);
    });
  }
}

/** Creating where the server has no hard links. */
function noLinks({ object }: SftpContext): UnsupportedError {
  return new UnsupportedError({
    operation: "create",
    object,
    what: "the server has no hard links, without which a file cannot be created atomically",
    next: "Use a server that has them, such as OpenSSH",
  });
}

/** Removes what killed writers have left in the directory of a file; what fails does not matter. */
export async function removeAbandoned(session: SftpSession, path: string): Promise<void> {
  const directory = parentOf(path);
  const limit = Date.now() - ABANDONED_MS;
  const context = { operation: "list", object: directory };
  for (const { filename, attrs } of await readDirectory(session, directory, context)) {
    const nanos = TEMP_NAME.exec(filename)?.[1];
    if (nanos === undefined || !attrs.isFile()) continue;
    if (Number(nanos) / 1e6 > limit || attrs.mtime * 1000 > limit) continue;
    const old =
      directory === "" || directory.endsWith("/")
        ? directory + filename
        : `${directory}/${filename}`;
    await session.ask<void>((sftp, done) => sftp.unlink(old, done)).catch(() => undefined);
  }
}
