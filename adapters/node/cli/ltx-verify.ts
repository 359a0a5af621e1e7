/**
 * `pagestream ltx verify`.
 *
 * @module
 */
import { isPagestreamError, verify } from "pagestream";
import {
  type LtxHeader,
  LtxMerge,
  formatFileName,
  formatTxid,
  parseFileName,
} from "pagestream/ltx";
import { EXIT, usageError } from "./failure.ts";
import { formatBytes, paint, plural } from "./format.ts";
import { openLocation, openLtxFile } from "./location.ts";

/** Flags of `pagestream ltx verify`. */
export interface VerifyFlags {
  readonly json?: boolean;
}

/** Something that is wrong. */
interface Problem {
  /** The file as it can be opened, or the replica. */
  readonly file: string;
  readonly code: string;
  readonly field: string | undefined;
  /** In bytes from the start of the file. */
  readonly offset: number | undefined;
  readonly message: string;
}

/** What was looked at. */
interface Report {
  files: number;
  bytes: number;
  pages: number;
  readonly problems: Problem[];
  readonly newest: { readonly replica: string; readonly txid: string; readonly time: string }[];
}

/** Verifies files and replicas. Exit code 6 when anything is wrong, and every problem is named. */
export async function runVerify(targets: readonly string[], flags: VerifyFlags): Promise<number> {
  if (targets.length === 0) {
    throw usageError(
      "replica or LTX file required",
      "pagestream ltx verify file:///path/to/replica",
    );
  }
  const report: Report = { files: 0, bytes: 0, pages: 0, problems: [], newest: [] };
  for (const text of targets) {
    const file = await openLtxFile(text, "verify");
    if (file === undefined) {
      await verifyReplica(text, report);
      continue;
    }
    try {
      const { text: label, size } = file;
      await verifyFile({ label, name: file.name, size, chunks: () => file.chunks() }, report);
    } finally {
      await file.close();
    }
  }
  const { problems, newest, files, bytes, pages } = report;
  const ok = problems.length === 0;
  if (flags.json === true) {
    const shown = { ok, files, bytes, pages, newest, problems };
    process.stdout.write(`${JSON.stringify(shown, undefined, 2)}\n`);
    return ok ? EXIT.ok : EXIT.integrity;
  }
  for (const { file, code, message } of problems) {
    const head = paint("red", code, process.stdout);
    process.stdout.write(`${head}  ${file}\n  ${message}\n`);
  }
  for (const { replica, txid, time } of newest) {
    process.stdout.write(`newest state of ${replica}: ${txid} of ${time}, restorable\n`);
  }
  const result = ok
    ? paint("green", "no problems", process.stdout)
    : paint("red", plural(problems.length, "problem"), process.stdout);
  process.stdout.write(
    `${plural(files, "file")}, ${formatBytes(bytes)}, ${plural(pages, "page")}: ${result}\n`,
  );
  return ok ? EXIT.ok : EXIT.integrity;
}

async function verifyReplica(text: string, report: Report): Promise<void> {
  const named = await openLocation(text);
  try {
    const { faults, newest, files, bytes, pages } = await verify(named.store, { restore: true });
    report.files += files;
    report.bytes += bytes;
    report.pages += pages;
    for (const { file, code, field, offset, message } of faults) {
      const label = file === undefined ? (named.path ?? text) : named.fileName(file);
      report.problems.push({ file: label, code, field, offset, message });
    }
    if (newest === undefined || faults.some(({ code }) => code === "RESTORE")) return;
    const { txid, time } = newest;
    report.newest.push({ replica: text, txid: formatTxid(txid), time: time.toISOString() });
  } finally {
    await named.store.close?.();
  }
}

/** A file to be read. */
interface Verified {
  /** As reports call it: what it can be opened by. */
  readonly label: string;
  readonly name: string;
  readonly size: number;
  readonly chunks: () => AsyncIterable<Uint8Array>;
}

/** Reads a file to its end: structure, index, checksums, order of pages, and its name. */
async function verifyFile(file: Verified, report: Report): Promise<void> {
  const { label, size } = file;
  report.files++;
  report.bytes += size;
  const chunks = file.chunks()[Symbol.asyncIterator]();
  // A merge of one file checks all that a restore checks.
  const merge = new LtxMerge([
    { name: label, read: async () => (await chunks.next()).value as Uint8Array | undefined },
  ]);
  try {
    checkName(file, await merge.open(), report);
    while (await merge.next()) report.pages++;
  } catch (error) {
    report.problems.push(toProblem(error, label));
  } finally {
    await merge.close();
    await chunks.return?.();
  }
}

function checkName({ label, name }: Verified, header: LtxHeader, report: Report): void {
  const { minTxid, maxTxid } = header;
  // A file may be looked at under any name; in a replica only those of the right form are listed.
  if (parseFileName(name) === undefined || name === formatFileName(minTxid, maxTxid)) return;
  const field = parseFileName(name)?.minTxid === minTxid ? "maxTxid" : "minTxid";
  report.problems.push({
    file: label,
    code: "DAMAGED_FILE",
    field,
    offset: field === "minTxid" ? 16 : 24,
    message: `the name does not agree with the header, which says ${formatFileName(minTxid, maxTxid)}`,
  });
}

function toProblem(error: unknown, file: string): Problem {
  if (!isPagestreamError(error)) throw error;
  const source = (isPagestreamError(error.cause) ? error.cause : error) as {
    readonly field?: string;
    readonly offset?: number;
  };
  const { field, offset } = source;
  return { file, code: error.code, field, offset, message: error.message };
}
