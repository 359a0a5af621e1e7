/**
 * What each durability asks of the source, the store and the local state. What cannot be honoured is refused.
 *
 * @module
 */
import type { CommitSource, PrepareMode } from "../core/commit-source.ts";
import { UnsupportedError } from "../core/errors.ts";
import type { LocalState } from "./local-state.ts";
import type { Replica } from "./replica.ts";
import type { RequestBudget } from "./request-budget.ts";
import type { BlockingUpload } from "./held-commits.ts";
import type { Durability, ReplicateOptions } from "./replication.ts";
import { stagedObject } from "./upload-staged.ts";
import type { ReplicaWriter } from "./writer.ts";

/** How the source keeps a transaction back. */
export const PREPARE_MODES: Readonly<Record<Durability, PrepareMode | undefined>> = {
  async: undefined,
  local: "sync",
  "hold-retry": "retry",
  "hold-jspi": "suspend",
  "hold-block": "sync",
};

/** How long a held COMMIT waits unless told otherwise. */
export const HOLD_DEADLINE_MS = 30_000;

/** What a durability may stand on. */
export interface Foundations {
  readonly replicas: readonly Replica[];
  readonly state: LocalState;
  readonly options: ReplicateOptions & { readonly budget: RequestBudget | undefined };
}

/** Throws where a durability lacks what it stands on; the source refuses by itself. */
export function checkDurability(source: CommitSource, found: Foundations): void {
  const missing = missingFor(found);
  if (missing === undefined) return;
  throw new UnsupportedError({
    operation: "replicate",
    object: source.name,
    what: `durability ${found.options.durability} needs ${missing}`,
    next: "Choose another durability",
  });
}

/** Uploads with the thread blocked, for `hold-block`. */
export function blockingUpload(
  writer: ReplicaWriter,
  options: ReplicateOptions & { readonly state: LocalState },
): BlockingUpload | undefined {
  const { blockingUploader, durability, holdDeadlineMs = HOLD_DEADLINE_MS, state } = options;
  if (durability !== "hold-block") return undefined;
  return (files) => {
    const objects = files.map((file) => stagedObject(state, file));
    return writer.createBlocking(objects, (standing) =>
      blockingUploader?.upload(objects, holdDeadlineMs, standing),
    );
  };
}

/** How many replicas a held COMMIT waits for. */
export function holdCount(options: ReplicateOptions, replicas: number): number {
  const { holdAt = "all" } = options;
  return holdAt === "all" ? replicas : holdAt;
}

function missingFor({ replicas, state, options }: Foundations): string | undefined {
  const { durability = "async", blockingUploader } = options;
  const replica = replicas[0] as Replica;
  if (durability === "async") return undefined;
  if (durability === "local")
    return state.durable ? undefined : "a state that outlives the process";
  if (options.budget !== undefined) return "requests at any time, without a budget for them";
  // A PUT that was given up could otherwise land later, over what came after it.
  if (!replica.store.capabilities.conditionalPut) return "a store with conditional creation";
  const count = holdCount(options, replicas.length);
  if (!Number.isInteger(count) || count < 1 || count > replicas.length) {
    return `a holdAt from 1 to ${replicas.length}`;
  }
  if (durability !== "hold-block") return undefined;
  if (count > 1) return "holdAt 1, since its worker uploads to one replica";
  if (blockingUploader === undefined) return "a blockingUploader";
  return blockingUploader.canBlock() ? undefined : "a thread that may block";
}
