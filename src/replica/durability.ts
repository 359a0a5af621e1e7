/**
 * What each durability asks of the source, the store and the local state. What cannot be honoured is refused.
 *
 * @module
 */
import type { CommitSource, PrepareMode } from "../core/commit-source.ts";
import { UnsupportedError } from "../core/errors.ts";
import type { LocalState } from "./local-state.ts";
import type { Replica } from "./replica.ts";
import type { Durability } from "./replication.ts";

/** How the source keeps a transaction back. */
export const PREPARE_MODES: Readonly<Record<Durability, PrepareMode | undefined>> = {
  async: undefined,
  local: "sync",
  "hold-retry": "retry",
  "hold-jspi": "suspend",
};

/** Throws `UnsupportedError` where store or state lack what a durability stands on; the source refuses by itself. */
export function checkDurability(
  durability: Durability,
  source: CommitSource,
  found: { readonly replica: Replica; readonly state: LocalState },
): void {
  const missing = missingFor(durability, found);
  if (missing === undefined) return;
  throw new UnsupportedError({
    operation: "replicate",
    object: source.name,
    what: `durability ${durability} needs ${missing}`,
    next: "Choose another durability",
  });
}

function missingFor(
  durability: Durability,
  found: { readonly replica: Replica; readonly state: LocalState },
): string | undefined {
  if (durability === "async") return undefined;
  if (durability === "local") {
    return found.state.durable ? undefined : "a state that outlives the process";
  }
  // A PUT that was given up could otherwise land later, over what came after it.
  const { conditionalPut } = found.replica.store.capabilities;
  return conditionalPut ? undefined : "a store with conditional creation";
}
