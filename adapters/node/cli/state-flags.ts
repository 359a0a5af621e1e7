/**
 * The flags that name a state of a replica: `-txid` and `-timestamp`.
 *
 * @module
 */
import { usageError } from "./failure.ts";

/** Flags of every command that takes an earlier state. */
export interface StateFlags {
  readonly txid?: string;
  readonly timestamp?: string;
}

/** The state that they name. */
export function stateOf({ txid, timestamp }: StateFlags): StateFlags {
  if (txid !== undefined && !/^[0-9a-fA-F]{16}$/.test(txid)) {
    throw usageError(
      `invalid value ${JSON.stringify(txid)} for flag -txid: a TXID is exactly 16 hex digits`,
      /^[0-9a-fA-F]{1,15}$/.test(txid)
        ? `-txid ${txid.padStart(16, "0").toLowerCase()}`
        : undefined,
    );
  }
  if (txid !== undefined && timestamp !== undefined) {
    throw usageError("-txid and -timestamp exclude each other");
  }
  return {
    ...(txid === undefined ? {} : { txid }),
    ...(timestamp === undefined ? {} : { timestamp }),
  };
}
