/**
 * How far a restore has come, on standard error: a bar on a terminal, a few lines elsewhere.
 *
 * @module
 */
import type { RestoreProgress } from "pagestream";
import { formatBar, formatBytes } from "./format.ts";

/** Shows progress. */
export interface ProgressReporter {
  readonly update: (progress: RestoreProgress) => void;
  /** Takes the bar away; harmless when there is none. */
  readonly clear: () => void;
}

/** A reporter as the flags want it: by default on terminals only, and not beside JSON. */
export function progressReporter(flags: {
  readonly progress?: boolean;
  readonly json?: boolean;
}): ProgressReporter | undefined {
  const isTerminal = process.stderr.isTTY === true;
  if (!(flags.progress ?? (isTerminal && flags.json !== true))) return undefined;
  return isTerminal ? bar() : lines();
}

function bar(): ProgressReporter {
  let shown = false;
  return {
    update(progress) {
      shown = true;
      process.stderr.write(`\r\u001b[K${formatBar(shareOf(progress))} ${describe(progress)}`);
    },
    clear() {
      if (shown) process.stderr.write("\r\u001b[K");
      shown = false;
    },
  };
}

/** One line for each tenth. */
function lines(): ProgressReporter {
  let next = 0;
  return {
    update(progress) {
      const share = shareOf(progress);
      if (share * 10 < next) return;
      next = Math.floor(share * 10) + 1;
      process.stderr.write(`${describe(progress)}\n`);
    },
    clear() {},
  };
}

function describe(progress: RestoreProgress): string {
  const { bytes, totalBytes, pages, totalPages } = progress;
  const percent = Math.floor(shareOf(progress) * 100);
  return `${String(percent).padStart(3)} %  ${formatBytes(bytes)} of ${formatBytes(totalBytes)}  page ${pages} of ${totalPages}`;
}

/** Of the pages: bytes are counted when they are read, ahead of what is done with them. */
function shareOf({ pages, totalPages }: RestoreProgress): number {
  return totalPages === 0 ? 1 : pages / totalPages;
}
