/**
 * A body as a client sends it: within bounds of size and time, and, for an LTX file, checked while it passes.
 *
 * @module
 */
import type { Context } from "hono";
import { isPagestreamError } from "../core/errors.ts";
import type { Clock } from "../core/platform.ts";
import { LtxDecoder } from "../ltx/decoder.ts";
import type { LtxHeader } from "../ltx/header.ts";
import type { LtxTrailer } from "../ltx/trailer.ts";
import { PageChecks } from "../replica/verify-file.ts";
import type { Admission } from "./ingest-rules.ts";
import { Refusal } from "./refusal.ts";

/** How much of a body is taken, and how slowly. */
export interface BodyLimits {
  /** Bytes in all. */
  readonly maxBytes: number;
  /** Milliseconds until the first byte, and of silence later. */
  readonly stallMs: number;
  readonly clock: Clock;
}

/** Bytes per millisecond below which a body on the whole does not come. */
const SLOWEST_BYTES_PER_MS = 4.096;

/** The pieces of a body; `Refusal` where it is too large or too slow. */
export async function* receive(
  c: Context,
  { maxBytes, stallMs, clock }: BodyLimits,
): AsyncGenerator<Uint8Array, void, undefined> {
  const tooLarge = (): Refusal => new Refusal("TOO_LARGE", `the body is over ${maxBytes} bytes`);
  if (Number(c.req.header("content-length") ?? 0) > maxBytes) throw tooLarge();
  const { body } = c.req.raw;
  if (body === null) return;
  const reader = body.getReader();
  const start = clock.monotonic();
  let size = 0;
  let ended = false;
  try {
    for (;;) {
      const late = start + stallMs + size / SLOWEST_BYTES_PER_MS - clock.monotonic();
      const { done, value } = await within(reader.read(), Math.min(stallMs, late), clock);
      ended = done;
      if (done) return;
      size += value.length;
      if (size > maxBytes) throw tooLarge();
      yield value;
    }
  } finally {
    if (!ended) reader.cancel().catch(() => undefined);
  }
}

async function within<T>(step: Promise<T>, ms: number, clock: Clock): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const give = (): void => reject(new Refusal("BODY_TIMEOUT", "the body comes too slowly"));
    const cancel = clock.schedule(give, Math.max(0, ms), true);
    const broken = (): void => reject(new Refusal("BAD_REQUEST", "the body broke off"));
    void step.then(resolve, broken).finally(cancel);
  });
}

/** A whole small body. */
export async function receiveSmall(c: Context, limits: BodyLimits): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of receive(c, limits)) {
    chunks.push(chunk.slice());
    size += chunk.length;
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** An LTX file on its way in. */
export class IncomingFile {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #decoder: LtxDecoder;
  readonly #name: string;
  /** Read for the header, and not handed on yet. */
  readonly #first: Uint8Array[] = [];
  #size = 0;
  #isComplete = false;
  #failure: unknown;

  private constructor(source: AsyncIterable<Uint8Array>, name: string) {
    this.#source = source[Symbol.asyncIterator]();
    this.#decoder = new LtxDecoder({ name });
    this.#name = name;
  }

  /** Reads as far as the header goes. */
  static async open(source: AsyncIterable<Uint8Array>, name: string): Promise<IncomingFile> {
    const file = new IncomingFile(source, name);
    try {
      await file.#readHeader();
    } catch (error) {
      await file.#source.return?.();
      throw unsound(error);
    }
    return file;
  }

  /** What it says of itself. */
  get header(): LtxHeader {
    return this.#decoder.header;
  }

  /** Whether all of it has passed, and was sound. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Its checksums; once it is complete. */
  get trailer(): LtxTrailer {
    return this.#decoder.trailer;
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** Why the file was given up while it passed, whatever a store made of that. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Its bytes; the last of them comes only when all of the file is known to be sound, and `atEnd` has nothing against it. */
  async *chunks(
    admission: Admission,
    atEnd: () => Promise<void>,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const pages = new PageChecks(this.#decoder, this.#name, admission.previousCommit);
    let isOpen = true;
    try {
      let last: Uint8Array | undefined;
      for (const chunk of this.#first.splice(0)) {
        if (last !== undefined) yield last;
        last = chunk;
      }
      pages.check();
      for (;;) {
        const { done, value } = await this.#source.next();
        if (done === true) break;
        if (last !== undefined) yield last;
        this.#take(value);
        pages.check();
        last = value;
      }
      isOpen = false;
      this.#decoder.end();
      pages.check();
      const { isWhole } = pages.end();
      if (admission.whole && !isWhole) {
        throw new Refusal("INVALID_FILE", "it must hold every page of the database, and does not");
      }
      this.#isComplete = true;
      await atEnd();
      if (last !== undefined) yield last;
    } catch (error) {
      this.#failure = unsound(error);
      throw this.#failure;
    } finally {
      if (isOpen) await this.#source.return?.();
    }
  }

  async #readHeader(): Promise<void> {
    while (!this.#decoder.readHeader()) {
      const { done, value } = await this.#source.next();
      if (done === true) this.#decoder.end();
      else {
        this.#take(value);
        this.#first.push(value);
      }
    }
  }

  #take(chunk: Uint8Array): void {
    this.#decoder.push(chunk);
    this.#size += chunk.length;
  }
}

/** What a client is told of a file that is none. */
function unsound(error: unknown): unknown {
  const codes = ["INVALID_LTX", "LTX_CHECKSUM", "LTX_UNSUPPORTED"] as const;
  if (isPagestreamError(error) && codes.some((code) => code === error.code)) {
    return new Refusal("INVALID_FILE", error.message);
  }
  return error;
}
