/**
 * `GET /pages/:pgno`: one page of the database at any state.
 *
 * @module
 */
import type { Context } from "hono";
import { formatTxid } from "../ltx/file-name.ts";
import type { ReplicaView } from "../replica/reader-options.ts";
import { checkConditions } from "./conditions.ts";
import { forEver, type Sending } from "./ltx-file.ts";
import {
  atPosition,
  type Look,
  POSITION_PARAMETER,
  POSITION_TOLD,
  type PositionWait,
  STATE_PARAMETERS,
  targetOf,
} from "./position.ts";
import { Refusal } from "./refusal.ts";
import type { Route } from "./route.ts";

/** What the route needs. */
export interface PagesContext extends Sending, PositionWait {}

/** The route. */
export function pagesRoute(context: PagesContext): Route {
  const type = "application/octet-stream";
  const schema = { type: "string", contentEncoding: "binary" };
  return {
    method: "GET",
    path: "/pages/:pgno",
    operation: {
      operationId: "page",
      summary: "A page of the database: now, at a TXID or at a time",
      description: "A page at a TXID never changes, so it may be cached for ever.",
      parameters: [
        {
          name: "pgno",
          in: "path",
          description: "Number of the page, from 1",
          schema: { type: "integer", minimum: 1, maximum: 4_294_967_294 },
        },
        ...STATE_PARAMETERS,
        POSITION_PARAMETER,
      ],
      answers: {
        200: {
          description: "The bytes of the page",
          type,
          schema,
          headers: {
            ...POSITION_TOLD,
            "Pagestream-Commit": "Size of the database in pages at that TXID",
          },
        },
        304: { description: "The client has this page" },
      },
      refusals: [
        "BAD_REQUEST",
        "NOT_FOUND",
        "PRECONDITION_FAILED",
        "NOT_ENABLED",
        "REPLICA_BEHIND",
      ],
    },
    handle: (c) => answer(c, context),
  };
}

async function answer(c: Context, context: PagesContext): Promise<Response> {
  const { mounts, slots, scope, platform } = context;
  const { txid, timestamp } = c.req.query();
  const target = targetOf({ txid, timestamp }, platform);
  const text = c.req.param("pgno") ?? "";
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new Refusal("BAD_REQUEST", "a page has a number from 1");
  const pgno = Number(text);
  const mounted = await mounts.of(c);
  const place = slots.take();
  const { signal } = c.req.raw;
  try {
    return await mounted.withReader(async (opened) => {
      const { reader } = opened;
      const look: Look<ReplicaView> = (state, isUrgent) => opened.view(state, { signal, isUrgent });
      const view = await atPosition(c, look, { ...context, target });
      if (pgno > view.commit) {
        throw new Refusal("NOT_FOUND", `the database has ${view.commit} pages at this state`);
      }
      const tag = tagOf(view, pgno);
      // Asked for by a time, or for the newest state, it is another page soon.
      c.header("cache-control", txid === undefined ? `${scope}, no-cache` : forEver(scope));
      c.header("content-type", "application/octet-stream");
      c.header("etag", tag);
      c.header("pagestream-commit", String(view.commit));
      if (checkConditions(c, tag) === "unchanged") return c.body(null, 304);
      c.header("content-length", String(view.pageSize));
      if (c.req.method === "HEAD") return c.body(null);
      const release = reader.pin(view);
      try {
        await reader.fetch(view, [pgno], { signal });
        const page = reader.peek(view, pgno);
        if (page === undefined) throw new Refusal("STORE", "the replica could not be read");
        return c.body(page.slice());
      } finally {
        release();
      }
    });
  } finally {
    place.leave();
  }
}

function tagOf({ txid, time, pageSize }: ReplicaView, pgno: number): string {
  return `"${formatTxid(txid)}-${time.getTime()}-${pageSize}-${pgno}"`;
}
