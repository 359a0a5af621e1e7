/**
 * Which state a request is for, and how a client sees its own writes.
 *
 * @module
 */
import type { Context } from "hono";
import { InvalidArgumentError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { formatTxid, parseTxid } from "../ltx/file-name.ts";
import type { RestoreTarget } from "../replica/plan.ts";
import { resolveTime } from "../replica/timestamps.ts";
import type { Parameter } from "./openapi.ts";
import { Refusal } from "./refusal.ts";

/** Request header: the least TXID that the answer must know. Response header: the TXID that it is of. */
export const POSITION_HEADER = "pagestream-position";

const TXID_SCHEMA = { type: "string", pattern: "^[0-9a-f]{16}$" };

/** Parameters of routes that answer for a state. */
export const STATE_PARAMETERS: readonly Parameter[] = [
  {
    name: "txid",
    in: "query",
    description: "The state at this TXID, exactly; excludes `timestamp`",
    schema: TXID_SCHEMA,
  },
  {
    name: "timestamp",
    in: "query",
    description:
      "The state at this time, inclusive: RFC 3339 or, counted back from now, `5 minutes ago`",
    schema: { type: "string", maxLength: 64 },
  },
];

/** The parameter by which a client sees its own writes. */
export const POSITION_PARAMETER: Parameter = {
  name: "Pagestream-Position",
  in: "header",
  description:
    "The newest state must be this TXID or a later one; it is waited for shortly, then the answer is 503",
  schema: TXID_SCHEMA,
};

/** What `Pagestream-Position` of an answer says. */
export const POSITION_TOLD: Readonly<Record<string, string>> = {
  "Pagestream-Position": "TXID of the state that the answer is of",
};

/** The state that `txid` or `timestamp` ask for; empty for the newest. */
export function targetOf(
  asked: { readonly txid?: string | undefined; readonly timestamp?: string | undefined },
  platform: Platform,
): RestoreTarget {
  const { txid, timestamp } = asked;
  if (txid !== undefined && timestamp !== undefined) {
    throw new Refusal("BAD_REQUEST", "txid and timestamp exclude each other");
  }
  if (txid !== undefined) return { txid: txidOf(txid, "txid") };
  if (timestamp === undefined) return {};
  try {
    return { timestamp: resolveTime(timestamp.slice(0, 64), platform.clock.now()) };
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new Refusal("BAD_REQUEST", "timestamp is neither RFC 3339 nor like `5 minutes ago`");
  }
}

/** A TXID that a client sent as `name`. */
export function txidOf(text: string, name: string): bigint {
  try {
    const txid = parseTxid(text);
    if (txid > 0n) return txid;
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
  }
  throw new Refusal("BAD_REQUEST", `${name} is a TXID: 16 hex digits, not all of them 0`);
}

/** A TXID of the query; undefined where it is left out. */
export function txidQuery(c: Context, name: string): bigint | undefined {
  const text = c.req.query(name);
  return text === undefined ? undefined : txidOf(text, name);
}

/** How long a position is waited for. */
export interface PositionWait {
  /** Time and timers. */
  readonly platform: Platform;
  /** Milliseconds until the client is told to come again. */
  readonly positionMs: number;
}

/** Milliseconds between the first two looks; the pauses double. */
const FIRST_PAUSE_MS = 50;

/** Finds a state. `isUrgent` says that the newest one that was found before is not new enough. */
export type Look<State> = (target: RestoreTarget, isUrgent: boolean) => Promise<State>;

/**
 * The state of `target` that `look` finds, as soon as the newest one is of the position that the request asks for. Tells in the
 * answer which it is.
 */
export async function atPosition<State extends { readonly txid: bigint }>(
  c: Context,
  look: Look<State>,
  { target, platform, positionMs }: PositionWait & { readonly target: RestoreTarget },
): Promise<State> {
  const text = c.req.header(POSITION_HEADER);
  const told = (state: State): State => {
    c.header(POSITION_HEADER, formatTxid(state.txid));
    return state;
  };
  if (text === undefined) return told(await look(target, false));
  const wanted = txidOf(text, POSITION_HEADER);
  const isNewest = target.txid === undefined && target.timestamp === undefined;
  const { clock } = platform;
  const begun = clock.monotonic();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
    const newest = told(await look({}, pauseMs > FIRST_PAUSE_MS));
    if (newest.txid >= wanted) return isNewest ? newest : told(await look(target, false));
    if (clock.monotonic() + pauseMs - begun > positionMs) break;
    await new Promise<void>((resolve) => clock.schedule(resolve, pauseMs));
  }
  const what = "the replica has not come to this position yet";
  throw new Refusal("REPLICA_BEHIND", what, { "retry-after": "1" });
}
