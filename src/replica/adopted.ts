/**
 * What an adoption left behind, and keeps from retention: an object with the TXIDs of the files by which an earlier state
 * of the database became the new truth.
 *
 * The newest snapshot before such a file, and what leads on from it, hold commits that nobody has any more. They stay until
 * somebody says that they may go. The object lies in the replica, where every retention finds it: a writer's after a
 * restart, one of another machine, one that is run by hand.
 *
 * @module
 */
import { asciiBytes, asciiText } from "../core/ascii.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { askObject } from "./ask-file.ts";
import { DamagedFileError } from "./errors.ts";
import type { Replica } from "./replica.ts";

/** Key of the object, outside the folders of the levels. */
export const ADOPTED_KEY = "pagestream/adopted.json";

/** Adoptions that are remembered; those before them are released. */
const MAX_TXIDS = 100;
/** Bytes past which it cannot be the object. */
const MAX_BYTES = 4096;

/** The TXIDs of the files that adopted an earlier state and are not released, ascending. One request. */
export async function readAdopted(
  replica: Replica,
  signal: AbortSignal | undefined,
): Promise<readonly bigint[]> {
  const { signal: never } = replica.platform.newAborter();
  const options = { limit: MAX_BYTES, signal: signal ?? never };
  const found = await askObject(replica, ADOPTED_KEY, options);
  if (found === undefined) return [];
  const texts = parseTxids(found.bytes);
  if (texts === undefined) {
    throw new DamagedFileError(
      {
        operation: "remove files of",
        object: replica.description,
        what: `${ADOPTED_KEY} does not say which snapshots have to stay`,
        next: `Remove ${ADOPTED_KEY} if nothing from before an adoption is needed any more`,
      },
      { file: ADOPTED_KEY },
    );
  }
  return texts.map((text) => BigInt(`0x${text}`));
}

/** Remembers that the file of `txid` adopts an earlier state: what came before it stays. */
export async function noteAdopted(
  replica: Replica,
  txid: bigint,
  signal: AbortSignal | undefined,
): Promise<void> {
  const before = await readAdopted(replica, signal);
  if (before.includes(txid)) return;
  const txids = [...before, txid].slice(-MAX_TXIDS).map(formatTxid);
  const bytes = asciiBytes(`${JSON.stringify({ txids })}\n`);
  const call = { operation: "write", object: ADOPTED_KEY, signal };
  await replica.retry(call, () => replica.store.put(ADOPTED_KEY, bytes, { signal }));
}

/** Lets retention have what adoptions left behind. */
export async function releaseAdopted(
  replica: Replica,
  signal: AbortSignal | undefined,
): Promise<void> {
  const call = { operation: "delete", object: ADOPTED_KEY, signal };
  await replica.retry(call, () => replica.store.delete([ADOPTED_KEY], { signal }));
}

function parseTxids(bytes: Uint8Array | undefined): readonly string[] | undefined {
  if (bytes === undefined) return undefined;
  try {
    const { txids } = JSON.parse(asciiText(bytes)) as { readonly txids?: unknown };
    const isTxid = (text: unknown): boolean => /^[\da-f]{16}$/.test(String(text));
    return Array.isArray(txids) && txids.every(isTxid) ? (txids as readonly string[]) : undefined;
  } catch {
    return undefined;
  }
}
