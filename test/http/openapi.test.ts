/** @module */
import { Validator } from "@seriousme/openapi-schema-validator";
import { Hono } from "hono";
import { expect, test } from "vitest";
import { ingestRoutes, replicaRoutes, type ReplicaRoutes } from "../../src/http/index.ts";
import { memoryStore } from "../../src/transports/memory.ts";

type Paths = Record<string, Record<string, { readonly operationId: string }>>;

function routes(): ReplicaRoutes {
  return replicaRoutes({ replica: () => memoryStore(), authorize: "public" });
}

async function document(): Promise<{
  readonly paths: Paths;
  readonly servers: readonly unknown[];
}> {
  return (await (await routes().request("/openapi.json")).json()) as never;
}

test("openApiDocument() is valid OpenAPI 3.1", async () => {
  const ingest = ingestRoutes({ replica: () => memoryStore(), authorize: "public" });
  const written = await (await ingest.request("/ingest/openapi.json")).json();
  for (const each of [await document(), written]) {
    const { valid, errors } = await new Validator().validate(each as never);
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
  }
});

test("openApiDocument() names every route that is mounted, and no other", async () => {
  const mounted = routes()
    .routes.filter(({ method }) => method !== "ALL")
    .flatMap(({ method, path }) => {
      const known = path.replaceAll(/:(\w+)/g, "{$1}");
      return method === "GET"
        ? [`get ${known}`, `head ${known}`]
        : [`${method.toLowerCase()} ${known}`];
    });
  // The page is for people, and stands beside the route of its path.
  const ofPrograms = [...new Set(mounted)].filter((each) => !each.endsWith(" /page"));
  const { paths } = await document();
  const described = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method} ${path}`),
  );
  expect(described.toSorted()).toEqual(ofPrograms.toSorted());
  const ids = Object.values(paths).flatMap((item) =>
    Object.values(item).map(({ operationId }) => operationId),
  );
  expect(new Set(ids).size).toBe(ids.length);
});

test("openApiDocument() says where the routes are mounted", async () => {
  const app = new Hono().route("/a/db", routes());
  const served = (await (await app.request("/a/db/openapi.json")).json()) as object;
  expect(served).toMatchObject({ servers: [{ url: "/a/db" }] });
  expect(await document()).toMatchObject({ servers: [{ url: "/" }] });
});
