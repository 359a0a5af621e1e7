/**
 * Routes that tell what there is: position, restore points, files, the index of `httpStore`.
 *
 * @module
 */
import type { Context } from "hono";
import { formatTxid } from "../ltx/file-name.ts";
import type { LtxFileInfo } from "../replica/replica.ts";
import { INDEX_REQUEST } from "./listing.ts";
import type { Mounted, Mounts } from "./mounted.ts";
import type { Json, Parameter } from "./openapi.ts";
import { txidQuery } from "./position.ts";
import { Refusal } from "./refusal.ts";
import type { Route } from "./route.ts";

/** Entries of a page of restore points or files. */
const MAX_ENTRIES = 1000;

const TXID: Json = { type: "string", pattern: "^[0-9a-f]{16}$" };
const TIME: Json = { type: "string", format: "date-time" };
const COUNT: Json = { type: "integer", minimum: 0 };
const LEVEL: Json = { type: "integer", minimum: 0, maximum: 9 };

const LIMIT: Parameter = {
  name: "limit",
  in: "query",
  description: `Entries of a page, at most ${MAX_ENTRIES}`,
  schema: { type: "integer", minimum: 1, maximum: MAX_ENTRIES, default: MAX_ENTRIES },
};

const INFO: Json = object({
  txid: { anyOf: [TXID, { type: "null" }] },
  time: { anyOf: [TIME, { type: "null" }] },
  restore_points: COUNT,
  decrypted: { type: "boolean" },
  queries: { type: "boolean", description: "Whether the server answers `POST /query`" },
  levels: { type: "array", items: object({ level: LEVEL, files: COUNT, bytes: COUNT }) },
});
const POINTS: Json = object({
  points: {
    type: "array",
    items: object({ txid: TXID, time: TIME, level: LEVEL, size: COUNT }),
  },
  more: { type: "boolean" },
});
const FILES: Json = object({
  files: {
    type: "array",
    items: object({
      level: LEVEL,
      name: { type: "string" },
      min_txid: TXID,
      max_txid: TXID,
      size: COUNT,
      time: TIME,
    }),
  },
  more: { type: "boolean" },
});

/** The routes over `mounts`; `queries` is whether there is one for SQL. */
export function overviewRoutes(
  mounts: Mounts,
  { queries }: { readonly queries: boolean },
): Route[] {
  const told = async (c: Context, tell: (mounted: Mounted) => Promise<object>) => {
    const value = await tell(await mounts.of(c));
    c.header("cache-control", "no-store");
    return c.json(value);
  };
  const info = (c: Context) =>
    told(c, async (mounted) => ({ ...(await infoOf(mounted)), queries }));
  const answers = {
    200: { description: "How the replica stands", type: "application/json", schema: INFO },
  };
  return [
    {
      method: "GET",
      path: "/",
      operation: {
        operationId: "info",
        summary: "Position, levels and sizes of the replica",
        description: "`txid` and `time` are those of the newest state; null for an empty replica.",
        answers,
      },
      handle: info,
    },
    {
      method: "GET",
      path: "/info",
      operation: {
        operationId: "infoJson",
        summary: "The same, always as JSON",
        answers,
      },
      handle: info,
    },
    {
      method: "GET",
      path: "/points",
      operation: {
        operationId: "points",
        summary: "States that can be restored, newest first",
        description:
          "Times are those that the listing of the store tells: where it tells none of its own, the time at which it received a file.",
        parameters: [
          {
            name: "before",
            in: "query",
            description: "Only states before this TXID: the last one of the page before",
            schema: TXID,
          },
          LIMIT,
        ],
        answers: {
          200: { description: "A page of states", type: "application/json", schema: POINTS },
        },
        refusals: ["BAD_REQUEST"],
      },
      handle: (c) => told(c, (mounted) => pointsOf(c, mounted)),
    },
    {
      method: "GET",
      path: "/files",
      operation: {
        operationId: "files",
        summary: "LTX files of every level",
        parameters: [
          { name: "level", in: "query", description: "Only this level", schema: LEVEL },
          {
            name: "after",
            in: "query",
            description:
              "Only files after this one: `<level>/<name>`, the last one of the page before",
            schema: { type: "string" },
          },
          LIMIT,
        ],
        answers: {
          200: { description: "A page of files", type: "application/json", schema: FILES },
        },
        refusals: ["BAD_REQUEST"],
      },
      handle: (c) => told(c, (mounted) => filesOf(c, mounted)),
    },
    {
      method: "GET",
      path: "/pagestream-index.json",
      operation: {
        operationId: "index",
        summary: "The index that `httpStore` reads",
        ...INDEX_REQUEST,
      },
      handle: (c) =>
        told(c, ({ listing }) => {
          const prefix = c.req.query("prefix") ?? "";
          return listing.index({ prefix, startAfter: c.req.query("startAfter") });
        }),
    },
  ];
}

async function infoOf({ listing, replica }: Mounted): Promise<object> {
  const [levels, points] = await Promise.all([listing.levels(), listing.points()]);
  const files = levels.flat();
  const newest = files.reduce<LtxFileInfo | undefined>(
    (last, file) => (last === undefined || file.maxTxid > last.maxTxid ? file : last),
    undefined,
  );
  const exact =
    newest === undefined || replica.store.capabilities.metadataInList
      ? newest
      : ((await replica.find(newest)) ?? newest);
  return {
    txid: newest === undefined ? null : formatTxid(newest.maxTxid),
    time: exact?.time ?? null,
    restore_points: points.length,
    decrypted: replica.store.encrypted === true,
    levels: levels.flatMap((each, level) =>
      each.length === 0
        ? []
        : [{ level, files: each.length, bytes: each.reduce((sum, { size }) => sum + size, 0) }],
    ),
  };
}

async function pointsOf(c: Context, { listing }: Mounted): Promise<object> {
  const before = txidQuery(c, "before");
  const limit = limitOf(c);
  const points = (await listing.points()).filter(
    ({ txid }) => before === undefined || txid < before,
  );
  const page = points.slice(-limit).reverse();
  return {
    points: page.map(({ txid, time, level, size }) => {
      return { txid: formatTxid(txid), time, level, size };
    }),
    more: page.length < points.length,
  };
}

async function filesOf(c: Context, { listing }: Mounted): Promise<object> {
  const limit = limitOf(c);
  const level = c.req.query("level");
  if (level !== undefined && !/^\d$/.test(level)) {
    throw new Refusal("BAD_REQUEST", "level is a digit");
  }
  const after = c.req.query("after") ?? "";
  const files = (await listing.levels()).flat().flatMap((file) => {
    const [min_txid, max_txid] = [formatTxid(file.minTxid), formatTxid(file.maxTxid)];
    const name = `${min_txid}-${max_txid}.ltx`;
    const isWanted =
      `${file.level}/${name}` > after && (level === undefined || Number(level) === file.level);
    const { size, time } = file;
    return isWanted ? [{ level: file.level, name, min_txid, max_txid, size, time }] : [];
  });
  return { files: files.slice(0, limit), more: files.length > limit };
}

function limitOf(c: Context): number {
  const text = c.req.query("limit") ?? String(MAX_ENTRIES);
  const limit = Number(text);
  if (/^\d{1,4}$/.test(text) && limit >= 1 && limit <= MAX_ENTRIES) return limit;
  throw new Refusal("BAD_REQUEST", `limit is a number from 1 to ${MAX_ENTRIES}`);
}

function object(properties: { readonly [key: string]: Json }): Json {
  return { type: "object", required: Object.keys(properties), properties };
}
