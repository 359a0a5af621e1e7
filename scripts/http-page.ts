/**
 * Writes `docs/http.md` from the OpenAPI document of the routes: `node scripts/http-page.ts`.
 *
 * What stands before the mark is written by hand; what follows it is made.
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ingestRoutes, replicaRoutes } from "../src/http/index.ts";
import { REFUSALS } from "../src/http/refusal.ts";
import { memoryStore } from "../src/transports/memory.ts";
import { root } from "./lib/process.mjs";

const PATH = join(root, "docs/http.md");
const MARK = "## Routes\n";

/** What every route may answer, said once. */
const EVERYWHERE = ["401", "429", "502", "503"];

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

interface Described {
  readonly description: string;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}

interface Operation {
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly description: string;
  }[];
  readonly requestBody?: Described;
  readonly responses: Readonly<Record<string, Described>>;
}

type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

/** The paths of the OpenAPI documents of both kinds of routes, as a client gets them. */
async function fetchPaths(): Promise<Paths> {
  const options = { replica: () => memoryStore(), authorize: "public" } as const;
  const read = await (await replicaRoutes(options).request("/openapi.json")).json();
  const written = await (await ingestRoutes(options).request("/ingest/openapi.json")).json();
  const paths: Record<string, Paths[string]> = { ...(read as { paths: Paths }).paths };
  for (const [path, item] of Object.entries((written as { paths: Paths }).paths)) {
    paths[path] = { ...paths[path], ...item };
  }
  return paths;
}

/** The page as it has to be. */
export async function renderHttpPage(): Promise<string> {
  const [head = ""] = readFileSync(PATH, "utf8").split(MARK);
  const paths = await fetchPaths();
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).flatMap(([method, operation]) =>
      method === "head" ? [] : [{ name: `${method.toUpperCase()} ${path}`, operation }],
    ),
  );
  const index = operations.map(({ name, operation }) => `| \`${name}\` | ${operation.summary} |`);
  const sections = operations.map(({ name, operation }) => sectionOf(name, operation));
  const errors = Object.entries(REFUSALS).map(
    ([code, [status, when]]) => `| \`${code}\` | ${status} | ${when}. |`,
  );
  const parts = [
    MARK.trimEnd(),
    "This part is written by `node scripts/http-page.ts` from the documents at `/openapi.json` and, for what writes, `/ingest/openapi.json`. Every `GET` knows `HEAD`, too, and every route may answer 401, 429, 502 and 503.",
    ["| route | |", "| --- | --- |", ...index].join("\n"),
    ...sections,
    "## Errors",
    'An error is `{"error": {"code", "message"}}`; programs compare codes.',
    ["| code | status | when |", "| --- | --- | --- |", ...errors].join("\n"),
  ];
  return `${head}${parts.join("\n\n")}\n`;
}

function sectionOf(name: string, operation: Operation): string {
  const { summary, description, parameters = [], requestBody, responses } = operation;
  const body = Object.values(requestBody?.content ?? {})[0]?.schema.properties ?? {};
  const rows = [
    ...parameters.map((each) => [each.name, each.in, each.description]),
    ...Object.entries(body).map(([key, each]) => [key, "body", each.description]),
  ].map(([key, where, text]) => `| \`${key}\` | ${where} | ${text} |`);
  const own = Object.entries(responses).filter(([status]) => !EVERYWHERE.includes(status));
  const answers = own.map(([status, { description: when, content = {}, headers = {} }]) => {
    const [form] = Number(status) >= 400 ? [] : Object.entries(content);
    const told =
      form === undefined ? "" : ` (${[`\`${form[0]}\``, ...membersOf(form[1])].join(": ")})`;
    const names = Object.keys(headers).map((name) => `\`${name}\``);
    return `| ${status} | ${when}${told}${names.length === 0 ? "" : `, with ${names.join(", ")}`} |`;
  });
  const parts = [
    `### ${name}`,
    `${summary}.`,
    description,
    rows.length === 0
      ? undefined
      : ["| parameter | in | |", "| --- | --- | --- |", ...rows].join("\n"),
    ["| status | |", "| --- | --- |", ...answers].join("\n"),
  ];
  return parts.filter((part) => part !== undefined).join("\n\n");
}

/** The members of an answer in JSON, in one text, lists with those of their entries; nothing where none are known. */
function membersOf({ schema }: { readonly schema: Schema }): string[] {
  const names = Object.entries(schema.properties ?? {}).map(([name, { items = {} }]) => {
    const [entries] = membersOf({ schema: items });
    return `\`${name}\`${entries === undefined ? "" : ` (${entries})`}`;
  });
  return names.length === 0 ? [] : [names.join(", ")];
}

if (import.meta.main) writeFileSync(PATH, await renderHttpPage());
