/**
 * `GET /databases`: what else the server has, so that people find from one page to another.
 *
 * @module
 */
import type { Context } from "hono";
import type { Route } from "./route.ts";

/** A database of the same server. */
export interface ListedDatabase {
  /** What to call it. */
  readonly name: string;
  /** Where its routes are mounted: an absolute path, such as `/db/notes`. */
  readonly path: string;
}

/** Tells the databases that the client of a request may know of. */
export type ListDatabases = (
  c: Context,
) => readonly ListedDatabase[] | Promise<readonly ListedDatabase[]>;

/** The route. */
export function databasesRoute(list: ListDatabases): Route {
  const text = { type: "string" };
  const properties = { name: text, path: text };
  const items = { type: "object", required: ["name", "path"], properties };
  return {
    method: "GET",
    path: "/databases",
    operation: {
      operationId: "databases",
      summary: "The databases of this server, as the page lists them",
      answers: {
        200: {
          description: "Names, and the paths at which they are mounted",
          type: "application/json",
          schema: {
            type: "object",
            required: ["databases"],
            properties: { databases: { type: "array", items } },
          },
        },
      },
    },
    handle: async (c) => {
      c.header("cache-control", "no-store");
      return c.json({ databases: await list(c) });
    },
  };
}
