/**
 * Files of a replica in a few words, for what plans without reading.
 *
 * @module
 */
import { fileKey } from "../../src/replica/layout.ts";
import type { LtxFileInfo } from "../../src/replica/replica.ts";

/**
 * The files of each level: `level:min-max@time` or `level:txid@time`, apart by spaces; times in milliseconds, by default
 * the last TXID times 10.
 */
export function levelFiles(text: string): LtxFileInfo[][] {
  const levels: LtxFileInfo[][] = Array.from({ length: 10 }, () => []);
  for (const word of text.split(/\s+/).filter((w) => w !== "")) {
    const match = /^(\d):(\d+)(?:-(\d+))?(?:@(\d+))?$/.exec(word);
    if (match === null) throw new Error(`not a file: ${word}`);
    const [, level, min, max = min, time] = match as unknown as string[];
    const span = { level: Number(level), minTxid: BigInt(min ?? 0), maxTxid: BigInt(max ?? 0) };
    levels[span.level]?.push({
      ...span,
      size: 200,
      time: new Date(Number(time ?? Number(max) * 10)),
      key: fileKey("directory", span),
      etag: "",
    });
  }
  return levels;
}

/** Files as {@linkcode levelFiles} takes them, without their times. */
export function spansOf(files: readonly LtxFileInfo[]): string {
  return files
    .map(({ level, minTxid, maxTxid }) =>
      minTxid === maxTxid ? `${level}:${minTxid}` : `${level}:${minTxid}-${maxTxid}`,
    )
    .join(" ");
}
