/**
 * Closes the gap that a crash between a snapshot and its L0 file leaves: no level may rest above the newest L0 file, since
 * Litestream numbers from there, and what it then writes would never be restored.
 *
 * @module
 */
import { replicaHeader } from "../ltx/header.ts";
import type { LocalState } from "./local-state.ts";
import type { PageDigest } from "./page-digest.ts";
import type { Replica } from "./replica.ts";
import { restoreReplica } from "./restore.ts";
import { type StagedFile, StagedFileWriter } from "./staged-file.ts";

/** Stages the L0 file of TXID `txid` with all pages of the replica's state of that TXID, which is downloaded for it. */
export async function stageMissingL0(
  replica: Replica,
  state: LocalState,
  missing: {
    readonly txid: bigint;
    /** Header time of the file that ends with `txid`. */
    readonly time: bigint;
    readonly digest: PageDigest;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<StagedFile> {
  const { txid, time: timestamp, digest, signal } = missing;
  const { platform } = replica;
  let writer: StagedFileWriter | undefined;
  try {
    await restoreReplica(
      replica,
      {
        name: `level 0 of ${replica.description}`,
        journalHeader: "keep",
        start({ pageSize, size }) {
          const commit = size / pageSize;
          writer = new StagedFileWriter(
            state,
            {
              level: 0,
              header: replicaHeader({ pageSize, commit, minTxid: txid, maxTxid: txid, timestamp }),
              previousCommit: 0,
              full: true,
              sequence: -1,
              since: platform.clock.monotonic(),
            },
            digest,
          );
        },
        write: () => {},
        truncate: () => {},
        finish: () => {},
        abort: () => {},
      },
      {
        platform,
        txid,
        signal,
        position: false,
        onPage: (pgno, data) => writer?.page(pgno, data),
      },
    );
    return (writer as unknown as StagedFileWriter).finish();
  } catch (error) {
    (writer as StagedFileWriter | undefined)?.abort();
    throw error;
  }
}
