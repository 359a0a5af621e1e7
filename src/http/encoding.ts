/**
 * In which form a client wants a body, and making it.
 *
 * @module
 */
import { getRuntimeKey } from "hono/adapter";
import { parseAccept } from "hono/utils/accept";
import { Refusal } from "./refusal.ts";

/** How a body is sent. */
export type Encoding = "gzip" | "identity";

/** What a header `Accept-Encoding` asks for: gzip where it is no less welcome. `NOT_ACCEPTABLE` where nothing will do. */
export function chooseEncoding(header: string | undefined): Encoding {
  if (header === undefined) return "identity";
  const accepted = parseAccept(header);
  const weight = (name: string): number | undefined =>
    accepted.find(({ type }) => type.toLowerCase() === name)?.q;
  const any = weight("*");
  const gzip = weight("gzip") ?? weight("x-gzip") ?? any ?? 0;
  const identity = weight("identity") ?? (any === 0 ? 0 : undefined);
  if (gzip > 0 && gzip >= (identity ?? 0)) return "gzip";
  if (identity === 0) throw new Refusal("NOT_ACCEPTABLE", "there is gzip and identity");
  return "identity";
}

/** The compressed body, by the runtime or, where it cannot, by a library. */
export async function gzip(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<ReadableStream<Uint8Array>> {
  // workerd compresses what is said to be compressed, and would do so a second time.
  if (getRuntimeKey() === "workerd") return body;
  if (globalThis.CompressionStream !== undefined) {
    return body.pipeThrough(new CompressionStream("gzip"));
  }
  const { Gzip } = await import("fflate");
  const compressor = new Gzip();
  return body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array>({
      start(controller) {
        compressor.ondata = (chunk) => {
          if (chunk.length > 0) controller.enqueue(chunk);
        };
      },
      transform: (chunk) => compressor.push(chunk),
      flush: () => compressor.push(new Uint8Array(0), true),
    }),
  );
}
