/**
 * The OpenAPI document, made of the routes that are mounted.
 *
 * @module
 */
import { REFUSALS, type RefusalCode } from "./refusal.ts";

/** Any part of the document. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json };

/** A parameter of a route. */
export interface Parameter {
  /** Its name. */
  readonly name: string;
  /** Where it is. */
  readonly in: "path" | "query" | "header";
  /** What it means. */
  readonly description: string;
  /** JSON schema of its value. */
  readonly schema: Json;
}

/** An answer of a route. */
export interface Answer {
  /** When it is given. */
  readonly description: string;
  /** Media type; undefined for an answer without a body. */
  readonly type?: string | undefined;
  /** JSON schema of the body. */
  readonly schema?: Json | undefined;
  /** Headers and what they mean. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** What a route does. */
export interface Operation {
  /** One word for programs; what the hook `authorize` gets. */
  readonly operationId: string;
  /** One line. */
  readonly summary: string;
  /** More, in Markdown. */
  readonly description?: string | undefined;
  /** In the order of the document. */
  readonly parameters?: readonly Parameter[] | undefined;
  /** What is sent. */
  readonly body?:
    | { readonly description: string; readonly type: string; readonly schema: Json }
    | undefined;
  /** Answers by status. */
  readonly answers: Readonly<Record<number, Answer>>;
  /** Errors beside those that every route may answer with. */
  readonly refusals?: readonly RefusalCode[] | undefined;
}

/** A route as the document describes it. */
export interface DescribedRoute {
  /** HEAD comes with GET. */
  readonly method: "GET" | "POST" | "PUT";
  /** As Hono writes it: `/ltx/:level/:name`. */
  readonly path: string;
  /** What it does. */
  readonly operation: Operation;
}

const EVERYWHERE: readonly RefusalCode[] = ["UNAUTHORIZED", "RATE_LIMITED", "STORE", "BUSY"];

const ERROR_SCHEMA: Json = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["code", "message"],
      properties: {
        code: { type: "string", enum: Object.keys(REFUSALS) },
        message: { type: "string" },
      },
    },
  },
};

/** The path of a route as OpenAPI writes it: `/ltx/{level}/{name}`. */
export function openApiPath(path: string): string {
  return path.replaceAll(/:(\w+)/g, "{$1}");
}

/** The document of routes that are mounted at `base`. */
export function openApiDocument(routes: readonly DescribedRoute[], base: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const { method, path, operation } of routes) {
    const item = (paths[openApiPath(path)] ??= {});
    item[method.toLowerCase()] = describe(operation);
    if (method === "GET") {
      const operationId = `${operation.operationId}Head`;
      item["head"] = { ...(describe(operation, true) as object), operationId };
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Pagestream replica",
      version: "1",
      description: "Reading a replica of a SQLite database.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: base }],
    paths,
    components: { schemas: { Error: ERROR_SCHEMA } },
  };
}

function describe(operation: Operation, isHead = false): Json {
  const { operationId, summary, description, parameters = [], body, answers } = operation;
  const codes = [...EVERYWHERE, ...(operation.refusals ?? [])];
  const responses: Record<string, Json> = {};
  for (const [status, answer] of Object.entries(answers)) {
    const { type, schema, headers = {} } = answer;
    const content =
      type === undefined || isHead ? {} : { content: { [type]: { schema: schema ?? {} } } };
    const told = Object.entries(headers).map(([name, text]): [string, Json] => [
      name,
      { description: text, schema: { type: "string" } },
    ]);
    const named = told.length === 0 ? {} : { headers: Object.fromEntries(told) };
    responses[status] = { description: answer.description, ...named, ...content };
  }
  for (const status of new Set(codes.map((code) => REFUSALS[code][0]))) {
    const when = codes.filter((code) => REFUSALS[code][0] === status);
    const text = when.map((code) => `\`${code}\`: ${REFUSALS[code][1]}.`).join(" ");
    const ref = { $ref: "#/components/schemas/Error" };
    const content = isHead ? {} : { content: { "application/json": { schema: ref } } };
    responses[String(status)] ??= { description: text, ...content };
  }
  const sent = body && {
    description: body.description,
    required: true,
    content: { [body.type]: { schema: body.schema } },
  };
  return {
    operationId,
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters: parameters.map(parameter) }),
    ...(sent === undefined ? {} : { requestBody: sent }),
    responses,
  };
}

function parameter({ name, in: where, description, schema }: Parameter): Json {
  return { name, in: where, required: where === "path", description, schema };
}
