/**
 * The OpenAPI document as one of the routes that it describes.
 *
 * @module
 */
import { openApiDocument } from "./openapi.ts";
import type { Route } from "./route.ts";

/** The route, at `path`, of the document of `routes`. */
export function documentRoute(routes: readonly Route[], path: string): Route {
  return {
    method: "GET",
    path,
    operation: {
      operationId: path === "/openapi.json" ? "document" : "ingestDocument",
      summary: "This document",
      answers: {
        200: { description: "OpenAPI 3.1", type: "application/json", schema: { type: "object" } },
      },
    },
    handle: (c) => {
      c.header("cache-control", "no-cache");
      const base = c.req.path.slice(0, -path.length);
      return c.json(openApiDocument(routes, base === "" ? "/" : base) as object);
    },
  };
}
