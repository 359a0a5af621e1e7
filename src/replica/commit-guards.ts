/**
 * Who hears of a commit before it is collected: the log of `local`, or whoever holds COMMIT back.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import type { PagestreamError } from "../core/errors.ts";
import type { CommitCollector } from "./commit-collector.ts";
import type { ConfirmedFiles } from "./confirmed-files.ts";
import type { Destinations } from "./destinations.ts";
import { blockingUpload, HOLD_DEADLINE_MS } from "./durability.ts";
import { notStarted } from "./errors.ts";
import { HeldCommits } from "./held-commits.ts";
import { LocalCommits } from "./local-commits.ts";
import { GROUP_BYTES, type PrimaryOptions, STAGING_BYTES } from "./primary-options.ts";

/** What {@linkcode commitGuards} works with. */
export interface CommitGuardsOptions {
  readonly source: CommitSource;
  readonly collector: CommitCollector;
  readonly destinations: Destinations;
  readonly confirmedFiles: ConfirmedFiles;
  readonly options: PrimaryOptions;
  /** Why replication has stopped: then nothing more is let through. */
  readonly stopped: () => PagestreamError | undefined;
}

/** One of the two, or none with durability `async`. */
export interface CommitGuards {
  readonly local?: LocalCommits;
  readonly held?: HeldCommits;
}

/** Makes what the durability asks for. */
export function commitGuards(what: CommitGuardsOptions): CommitGuards {
  const { source, collector, destinations, confirmedFiles, options, stopped } = what;
  const { durability = "async", state, platform } = options;
  const { name } = source;
  if (durability === "async") return {};
  if (durability === "local") {
    const { groupBytes = GROUP_BYTES, stagingBytes = STAGING_BYTES } = options;
    const staged = (): number => {
      destinations.relieve();
      return destinations.pendingBytes;
    };
    const common = { name, collector, state, stopped };
    return { local: new LocalCommits({ ...common, groupBytes, stagingBytes, staged }) };
  }
  const { first } = destinations;
  const held = new HeldCommits({
    name,
    collector,
    state,
    stopped,
    uploader: first.uploader,
    withdraw: (file) => destinations.withdraw(file),
    clock: platform.clock,
    deadlineMs: options.holdDeadlineMs ?? HOLD_DEADLINE_MS,
    notReady: () => (first.isBehind ? notStarted(name) : undefined),
    block: blockingUpload(first.writer, options),
    committed: () => confirmedFiles.committed(),
    // What is committed is in the store only once the next file is.
    ahead: (sequence) => destinations.list.forEach((each) => each.ahead(sequence)),
  });
  return { held };
}
