/**
 * `GET /snapshot`: the database file at any state.
 *
 * @module
 */
import type { Context } from "hono";
import { formatTxid } from "../ltx/file-name.ts";
import type { RestoreTarget } from "../replica/plan.ts";
import type { RestoreResult } from "../replica/restore-options.ts";
import type { RestoreSink } from "../replica/restore-sink.ts";
import { restoreReplica } from "../replica/restore.ts";
import { checkConditions, parseRange } from "./conditions.ts";
import { chooseEncoding, gzip } from "./encoding.ts";
import { noSuchRange, partOf, type Sending } from "./ltx-file.ts";
import type { Mounted } from "./mounted.ts";
import { pageStream } from "./page-stream.ts";
import {
  atPosition,
  POSITION_PARAMETER,
  POSITION_TOLD,
  type PositionWait,
  STATE_PARAMETERS,
  targetOf,
} from "./position.ts";
import { restoreStream } from "./restore-stream.ts";
import type { Route } from "./route.ts";

/** What the route needs. */
export interface SnapshotContext extends Sending, PositionWait {
  /** Gets what broke a download off. */
  readonly onFailure: (error: unknown, path: string) => void;
}

const TYPE = "application/vnd.sqlite3";
const FILE = { type: "string", contentEncoding: "binary" };
const TOLD = {
  ...POSITION_TOLD,
  ETag: "Strong tag of the state and the form it is sent in",
  "Content-Location": "Where this state is, whatever is written from now on",
};

/** The route. */
export function snapshotRoute(context: SnapshotContext): Route {
  return {
    method: "GET",
    path: "/snapshot",
    operation: {
      operationId: "snapshot",
      summary: "The database file: now, at a TXID or at a time",
      description: [
        "Sent while it is restored, compressed where the client accepts gzip.",
        "A `Range` is honoured for a state that is certain: by `txid`, or with the tag of the first answer in `If-Range`,",
        "which goes on with the state of that tag even if there is a newer one.",
      ].join(" "),
      parameters: [...STATE_PARAMETERS, POSITION_PARAMETER],
      answers: {
        200: { description: "The file", type: TYPE, schema: FILE, headers: TOLD },
        206: { description: "The part", type: TYPE, schema: FILE, headers: TOLD },
        304: { description: "The client has this state" },
      },
      refusals: [
        "BAD_REQUEST",
        "NOT_FOUND",
        "NOT_ACCEPTABLE",
        "PRECONDITION_FAILED",
        "RANGE_NOT_SATISFIABLE",
        "REPLICA_BEHIND",
      ],
    },
    handle: (c) => answer(c, context),
  };
}

async function answer(c: Context, context: SnapshotContext): Promise<Response> {
  const { mounts, slots, scope, platform, onFailure } = context;
  const { txid, timestamp } = c.req.query();
  const target = targetOf({ txid, timestamp }, platform);
  const isHead = c.req.method === "HEAD";
  const asked = isHead ? undefined : parseRange(c.req.header("range"));
  const ifRange = c.req.header("if-range");
  // A part of a compressed file is of no use to anybody.
  const encoding =
    asked === undefined ? chooseEncoding(c.req.header("accept-encoding")) : "identity";
  const mounted = await mounts.of(c);
  const place = slots.take();
  try {
    const isPinned = target.txid !== undefined;
    const state =
      (isPinned || asked === undefined ? undefined : await stateOfTag(c, mounted, ifRange)) ??
      (await atPosition(c, (each) => stateAt(c, mounted, each), { ...context, target }));
    const tag = tagOf(state, encoding);
    const isWhole = asked === undefined || (ifRange === undefined ? !isPinned : ifRange !== tag);
    describe(c, { state, tag, scope });
    if (checkConditions(c, tag) === "unchanged") return c.body(null, 304);
    const { size } = state;
    const { offset, length = size - offset } = partOf(isWhole ? undefined : asked, size);
    const end = Math.min(size, offset + length);
    if (!isWhole && offset >= end) throw noSuchRange(size);
    if (encoding === "gzip") c.header("content-encoding", "gzip");
    else c.header("content-length", String(end - offset));
    if (!isWhole) c.header("content-range", `bytes ${offset}-${end - 1}/${size}`);
    if (isHead) return c.body(null);
    const path = c.req.path;
    const sent = {
      state,
      part: { offset, end },
      signal: c.req.raw.signal,
      onFailure: (error: unknown) => onFailure(error, path),
    };
    // Page by page costs more than all of them in one go, unless it is for few of them.
    const isSmall = (end - offset) * 2 < size;
    const file = (isSmall ? await pagesOf(mounted, sent) : undefined) ?? restored(mounted, sent);
    const body = encoding === "gzip" ? await gzip(file) : file;
    return c.body(place.send(body), isWhole ? 200 : 206);
  } finally {
    place.leave();
  }
}

/** What of a state is sent. */
interface Sent {
  readonly state: RestoreResult;
  readonly part: { readonly offset: number; readonly end: number };
  readonly signal: AbortSignal;
  readonly onFailure: (error: unknown) => void;
}

function restored(
  { replica }: Mounted,
  { state, ...sent }: Sent,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const exact = state.legacy === undefined ? { txid: state.txid } : { timestamp: state.time };
  return restoreStream(replica, { ...sent, target: exact });
}

/** The part without what comes before; undefined where the state cannot be read by pages. */
async function pagesOf(
  mounted: Mounted,
  { state, part, signal, onFailure }: Sent,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>> | undefined> {
  if (state.legacy !== undefined) return undefined;
  let giveBack: (() => Promise<void>) | undefined;
  try {
    const lent = await mounted.lend();
    giveBack = lent[1];
    const [{ reader }] = lent;
    const view = await reader.viewAt({ txid: state.txid }, { signal });
    const { time, commit, pageSize } = view;
    if (time.getTime() === state.time.getTime() && commit * pageSize === state.size) {
      const ended = (failure?: unknown): void => {
        if (failure !== undefined) onFailure(failure);
        void lent[1]();
      };
      return pageStream(reader, { view, part, signal, ended });
    }
  } catch {
    // A restore tells what is wrong, or does without what a reader needs.
  }
  await giveBack?.();
  return undefined;
}

/** The state of a tag that an earlier answer had, if it can still be restored and is the same. */
async function stateOfTag(
  c: Context,
  mounted: Mounted,
  tag: string | undefined,
): Promise<RestoreResult | undefined> {
  const txid = /^"([0-9a-f]{16})-/.exec(tag ?? "")?.[1];
  if (txid === undefined || tag === undefined || /^0+$/.test(txid)) return undefined;
  try {
    const state = await stateAt(c, mounted, { txid: BigInt(`0x${txid}`) });
    return tagOf(state, "identity") === tag ? state : undefined;
  } catch {
    // Then the newest state is the answer, whole.
    return undefined;
  }
}

const NOWHERE: RestoreSink = {
  name: "a download",
  journalHeader: "keep",
  start: () => undefined,
  write: () => undefined,
  truncate: () => undefined,
  finish: () => undefined,
  abort: () => undefined,
};

/** What a restore would give; reads a listing and a header. */
async function stateAt(
  c: Context,
  { replica }: Mounted,
  target: RestoreTarget,
): Promise<RestoreResult> {
  const { platform } = replica;
  const { signal } = c.req.raw;
  return await restoreReplica(replica, NOWHERE, { ...target, platform, explain: true, signal });
}

/** The same for the same bytes only: TXIDs begin anew where a replica does, but never at the same time. */
function tagOf(
  { txid, time, size, pageSize }: RestoreResult,
  encoding: "gzip" | "identity",
): string {
  const parts = [formatTxid(txid), time.getTime(), pageSize, size];
  return `"${parts.join("-")}${encoding === "gzip" ? "-gzip" : ""}"`;
}

function describe(
  c: Context,
  told: {
    readonly state: RestoreResult;
    readonly tag: string;
    readonly scope: Sending["scope"];
  },
): void {
  const { state, tag, scope } = told;
  const txid = formatTxid(state.txid);
  const time = state.time.toISOString();
  const isLegacy = state.legacy !== undefined;
  const query = isLegacy ? `timestamp=${encodeURIComponent(time)}` : `txid=${txid}`;
  c.header("accept-ranges", "bytes");
  c.header("cache-control", `${scope}, no-cache`);
  c.header(
    "content-disposition",
    `attachment; filename="${isLegacy ? state.time.getTime() : txid}.db"`,
  );
  c.header("content-location", `${c.req.path}?${query}`);
  c.header("content-type", TYPE);
  c.header("etag", tag);
  c.header("last-modified", state.time.toUTCString());
  c.header("pagestream-position", txid);
  c.header("vary", "accept-encoding", { append: true });
}
