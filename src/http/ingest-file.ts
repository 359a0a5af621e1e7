/**
 * One LTX file of a client: received, checked, judged and created, in this order or not at all.
 *
 * @module
 */
import type { Context } from "hono";
import { isPagestreamError } from "../core/errors.ts";
import { parseFileName } from "../ltx/file-name.ts";
import { encodeHeader, LTX_HEADER_SIZE, type LtxHeader } from "../ltx/header.ts";
import { decodeTrailer, LTX_TRAILER_SIZE } from "../ltx/trailer.ts";
import type { FileSpan } from "../replica/layout.ts";
import type { LtxFileInfo } from "../replica/replica.ts";
import type { PutResult } from "../transports/object-store.ts";
import { formatTimestamp, TIMESTAMP_METADATA } from "../transports/timestamp.ts";
import { describe, otherVersion } from "./ingest-beside.ts";
import { type BodyLimits, IncomingFile, receive } from "./ingest-body.ts";
import { type IngestDesk, readHeaderOf, type Turn } from "./ingest-desk.ts";
import type { Admission } from "./ingest-rules.ts";
import { Refusal } from "./refusal.ts";

/** How long after it was judged a file may come without being judged again. */
const JUDGED_MS = 10_000;

/** `PUT /ltx/:level/:name`. */
export async function putFile(c: Context, desk: IngestDesk, limits: BodyLimits): Promise<Response> {
  const span = spanOf(c);
  const turn = desk.takeTurn(span.level);
  try {
    const name = `ltx/${span.level}/${c.req.param("name")}`;
    const file = await IncomingFile.open(receive(c, limits), name);
    return await new Arrival(c, { desk, span, file, turn, limits }).settle();
  } finally {
    turn.end();
  }
}

function spanOf(c: Context): FileSpan {
  const level = c.req.param("level") ?? "";
  const name = parseFileName(c.req.param("name") ?? "");
  if (!/^\d$/.test(level) || name === undefined) {
    throw new Refusal("BAD_REQUEST", "no file of a replica has this name");
  }
  return { level: Number(level), minTxid: name.minTxid, maxTxid: name.maxTxid };
}

interface ArrivalContext {
  readonly desk: IngestDesk;
  readonly span: FileSpan;
  readonly file: IncomingFile;
  readonly turn: Turn;
  readonly limits: BodyLimits;
}

/** A file whose header is known. */
class Arrival {
  readonly #c: Context;
  readonly #context: ArrivalContext;
  readonly #signal: AbortSignal;

  constructor(c: Context, context: ArrivalContext) {
    this.#c = c;
    this.#context = context;
    this.#signal = c.req.raw.signal;
  }

  async settle(): Promise<Response> {
    const { desk, span, file, turn, limits } = this.#context;
    const { header } = file;
    const { clock } = limits;
    const signal = this.#signal;
    const decision = await desk.decide(span, header, { signal, turn });
    if (decision.there !== undefined) return await this.#compare(decision.there);
    const judgedAt = clock.monotonic();
    const atEnd = async (): Promise<void> => {
      if (clock.monotonic() - judgedAt < JUDGED_MS) return;
      desk.forget();
      const again = await desk.decide(span, header, { signal, turn: NO_TURN });
      if (again.there !== undefined) throw otherVersion();
    };
    const chunks = file.chunks(decision, atEnd);
    try {
      const put = await this.#create(chunks);
      desk.landed(this.#landed(put), header);
      return this.#told(put, 201);
    } catch (error) {
      if (file.failure !== undefined) throw file.failure;
      desk.forget();
      if (!isPagestreamError(error, "PRECONDITION_FAILED")) throw error;
      const there = await desk.replica.find(span, { signal });
      if (there === undefined || !file.isComplete) throw otherVersion();
      return await this.#compare(there);
    }
  }

  async #create(chunks: AsyncIterable<Uint8Array>): Promise<PutResult> {
    const { desk, span, file, limits } = this.#context;
    const { store } = desk.replica;
    const time = new Date(Number(file.header.timestamp));
    if (Number.isNaN(time.getTime())) {
      throw new Refusal("INVALID_FILE", "its time is beyond any calendar");
    }
    return await store.put(desk.replica.key(span), chunks, {
      ifNoneMatch: store.capabilities.conditionalPut ? "*" : undefined,
      metadata: { [TIMESTAMP_METADATA]: formatTimestamp(time.getTime()) },
      sizeBound: limits.maxBytes,
      signal: this.#signal,
    });
  }

  /** Answers for a file of the same name: it is the same file, or there is a conflict. */
  async #compare(there: LtxFileInfo): Promise<Response> {
    const { desk, file } = this.#context;
    const signal = this.#signal;
    if (!file.isComplete) for await (const _ of file.chunks(ANYTHING, async () => {})) continue;
    const same =
      there.size === file.size &&
      isSameHeader(await readHeaderOf(desk.replica, there, signal), file.header) &&
      (await this.#hasTrailerOf(there));
    if (!same) {
      throw new Refusal("PRECONDITION_FAILED", "another file of this name is there");
    }
    const info = await desk.replica.store.head(there.key, { signal });
    return this.#told(info, 200);
  }

  async #hasTrailerOf(there: LtxFileInfo): Promise<boolean> {
    const { desk, file } = this.#context;
    const range = { offset: there.size - LTX_TRAILER_SIZE, length: LTX_TRAILER_SIZE };
    const bytes = await desk.replica.read(there, { ...range, signal: this.#signal });
    const { fileChecksum, postApplyChecksum } = decodeTrailer(bytes, there.key);
    const { trailer } = file;
    return fileChecksum === trailer.fileChecksum && postApplyChecksum === trailer.postApplyChecksum;
  }

  #landed({ etag }: PutResult): LtxFileInfo {
    const { desk, span, file } = this.#context;
    const time = new Date(Number(file.header.timestamp));
    return { ...span, size: file.size, time, key: desk.replica.key(span), etag };
  }

  #told({ etag, lastModified }: PutResult, status: 200 | 201): Response {
    const c = this.#c;
    const { file, span, desk } = this.#context;
    describe(c, { etag, lastModified, size: file.size, key: desk.replica.key(span) });
    return c.body(null, status);
  }
}

const ANYTHING: Admission = { whole: false, previousCommit: undefined };
const NO_TURN: Turn = { lead: () => undefined, end: () => undefined };

function isSameHeader(a: LtxHeader, b: LtxHeader): boolean {
  const [left, right] = [encodeHeader(a), encodeHeader(b)];
  for (let i = 0; i < LTX_HEADER_SIZE; i++) if (left[i] !== right[i]) return false;
  return true;
}
