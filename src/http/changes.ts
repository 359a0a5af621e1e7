/**
 * `GET /changes`: what is committed, as it arrives in the replica, as server-sent events.
 *
 * Each listener asks the shared reader at its own pace and gets all between two of its looks as one change: nothing is kept
 * for listeners that are slow.
 *
 * @module
 */
import type { Context } from "hono";
import { touchedTables } from "../api/touched-tables.ts";
import { isPagestreamError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { formatTxid } from "../ltx/file-name.ts";
import type { ReplicaReader, ReplicaView } from "../replica/reader-options.ts";
import type { Mounts } from "./mounted.ts";
import type { OpenReader } from "./open-reader.ts";
import { txidOf } from "./position.ts";
import type { Slots } from "./slots.ts";
import type { Route } from "./route.ts";

/** Page numbers that a change names; it always tells how many there are. */
const MAX_PAGES = 1000;
/** How long nothing may be sent: proxies and clients take longer silence for the end, Bun's server that of ten seconds. */
const HEARTBEAT_MS = 8_000;
/** Failed looks in a row after which a listener is let go: it comes back by itself, and is told then. */
const MAX_FAILURES = 5;

/** What the route needs. */
export interface ChangesContext {
  /** The replicas. */
  readonly mounts: Mounts;
  /** Listeners at a time. */
  readonly slots: Slots;
  /** Milliseconds between two looks. */
  readonly pollMs: number;
  /** Time and timers. */
  readonly platform: Platform;
}

/** The route. */
export function changesRoute(context: ChangesContext): Route {
  return {
    method: "GET",
    path: "/changes",
    operation: {
      operationId: "changes",
      summary: "Changes as they arrive in the replica, as server-sent events",
      description: [
        "`position` comes first and tells where the feed begins; `change` tells `txid`, `from`, `time`, `commit`, `page_count`,",
        `\`pages\` (the first ${MAX_PAGES} numbers of pages that may differ), and \`tables\`, the names of the tables touched;`,
        "`tables_complete` is false where some pages belong to none that could be found. The `id` of an event is its TXID.",
        "A client that comes back with `Last-Event-ID` gets all since then as one change, or `reset` where that state is gone.",
      ].join(" "),
      parameters: [
        {
          name: "Last-Event-ID",
          in: "header",
          description: "TXID of the last event that the client has seen",
          schema: { type: "string", pattern: "^[0-9a-f]{16}$" },
        },
      ],
      answers: {
        200: {
          description: "The feed, which does not end by itself",
          type: "text/event-stream",
          schema: { type: "string" },
        },
      },
      refusals: ["BAD_REQUEST", "NOT_FOUND", "NOT_ENABLED"],
    },
    handle: (c) => answer(c, context),
  };
}

async function answer(c: Context, context: ChangesContext): Promise<Response> {
  const { mounts, slots, platform } = context;
  const text = c.req.header("last-event-id") ?? "";
  const last = text === "" ? undefined : txidOf(text, "Last-Event-ID");
  const mounted = await mounts.of(c);
  const place = slots.take();
  try {
    c.header("content-type", "text/event-stream");
    c.header("cache-control", "no-store");
    // nginx would keep events until its buffer is full.
    c.header("x-accel-buffering", "no");
    if (c.req.method === "HEAD") return c.body(null);
    const [opened, giveBack] = await mounted.lend();
    const ending = platform.newAborter();
    const signal = AbortSignal.any([c.req.raw.signal, ending.signal]);
    const feed = listen({ ...context, opened, last, signal });
    try {
      // The first event before the headers: what keeps a feed from beginning is an answer of its own.
      const first = await feed.next();
      return c.body(
        place.send(toStream(first, feed, { end: () => (ending.abort(), void giveBack()) })),
      );
    } catch (error) {
      await giveBack();
      throw error;
    }
  } finally {
    place.leave();
  }
}

interface Listener extends ChangesContext {
  readonly opened: OpenReader;
  readonly last: bigint | undefined;
  readonly signal: AbortSignal;
}

async function* listen(listener: Listener): AsyncGenerator<string, void, undefined> {
  const { opened, last, signal, platform } = listener;
  const { reader } = opened;
  const { clock } = platform;
  let [from, event] = await begin(listener);
  let release = reader.pin(from);
  try {
    yield event;
    let spokeAt = clock.monotonic();
    for (let failures = 0; !signal.aborted;) {
      let to = from;
      try {
        to = await opened.view({}, { signal });
        failures = 0;
      } catch (error) {
        if (signal.aborted || ++failures === MAX_FAILURES) throw error;
      }
      // A client that has seen more than this server knows of is not told of the past.
      const isNews = to.txid > from.txid && (last === undefined || to.txid > last);
      event = "";
      if (isNews) {
        const [releaseFrom, releaseTo] = [release, reader.pin(to)];
        release = () => (releaseFrom(), releaseTo());
        event = format("change", to, await describe(reader, { from, to }, signal));
        releaseFrom();
        [from, release] = [to, releaseTo];
      } else if (clock.monotonic() - spokeAt >= HEARTBEAT_MS) event = ": nothing new\n\n";
      if (event !== "") {
        yield event;
        spokeAt = clock.monotonic();
      }
      await pause(listener);
    }
  } finally {
    release();
  }
}

/** Where the feed begins, and what a listener is told of that. */
async function begin(listener: Listener): Promise<[ReplicaView, string]> {
  const { opened, last, signal } = listener;
  const { reader } = opened;
  const latest = await opened.view({}, { signal });
  if (last === undefined) return [latest, format("position", latest)];
  // What the client knows of counts when it comes back again, not what this server lags behind.
  if (last >= latest.txid) return [latest, format("position", latest, { id: last })];
  try {
    const from = await reader.viewAt({ txid: last }, { signal });
    return [latest, format("change", latest, await describe(reader, { from, to: latest }, signal))];
  } catch (error) {
    const isGone =
      isPagestreamError(error, "TXID_NOT_AVAILABLE") || isPagestreamError(error, "GAP");
    if (!isGone) throw error;
    return [latest, format("reset", latest)];
  }
}

async function describe(
  reader: ReplicaReader,
  { from, to }: { readonly from: ReplicaView; readonly to: ReplicaView },
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const pages = reader.changedPages(from, to);
  const { tables, complete } = await touchedTables(reader, { from, to, pages }, signal);
  return {
    from: formatTxid(from.txid),
    page_count: pages.length,
    pages: [...pages.subarray(0, MAX_PAGES)],
    tables,
    tables_complete: complete,
  };
}

function format(
  event: string,
  view: ReplicaView,
  { id = view.txid, ...more }: { readonly id?: bigint; readonly [key: string]: unknown } = {},
): string {
  const { time, commit } = view;
  const data = JSON.stringify({ txid: formatTxid(view.txid), time, commit, ...more });
  return `id: ${formatTxid(id)}\nevent: ${event}\ndata: ${data}\n\n`;
}

function pause({ platform, pollMs, signal }: Listener): Promise<void> {
  return new Promise((resolve) => {
    const stop = platform.clock.schedule(done, pollMs);
    function done(): void {
      stop();
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}

/** The feed as a body. Its next event is asked for when the client has taken the one before. */
function toStream(
  first: IteratorResult<string, void>,
  feed: AsyncGenerator<string, void, undefined>,
  { end }: { readonly end: () => void },
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  let ahead: IteratorResult<string, void> | undefined = first;
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { done, value } = ahead ?? (await feed.next());
          ahead = undefined;
          if (done !== true) {
            controller.enqueue(encoder.encode(value));
            return;
          }
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        end();
      },
      cancel() {
        end();
        // It may be waiting for the store, and nobody waits for it.
        feed.return().catch(() => undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
