/**
 * The ingest routes in the words of OpenAPI.
 *
 * @module
 */
import type { BesideObject } from "./ingest-beside.ts";
import { INDEX_REQUEST } from "./listing.ts";
import { FILE_PARAMETERS } from "./ltx-file.ts";
import type { Json, Operation } from "./openapi.ts";

const JSON_TYPE = "application/json";
const BYTES: Json = { type: "string", contentEncoding: "binary" };
const VERSION = { ETag: "Version of the object" };

/** `GET /ingest`. */
export const CAPABILITIES_OPERATION: Operation = {
  operationId: "ingest",
  summary: "Whether, and how, files may be written here",
  description: "What `httpStore` asks first: a server without this route can only be read.",
  answers: {
    200: {
      description: "What conditional writes the store behind honours, and how large a file may be",
      type: JSON_TYPE,
      schema: {
        type: "object",
        required: ["ingest", "capabilities", "maxBytes"],
        properties: {
          ingest: { const: 1 },
          capabilities: {
            type: "object",
            required: ["conditionalPut", "conditionalReplace", "metadataInList"],
            properties: {
              conditionalPut: { type: "boolean" },
              conditionalReplace: { type: "boolean" },
              metadataInList: { type: "boolean" },
            },
          },
          maxBytes: { type: "integer" },
        },
      },
    },
  },
};

/** `GET /ingest/objects`. */
export const OBJECTS_OPERATION: Operation = {
  operationId: "ingestObjects",
  summary: "The index of LTX files as of this moment, for writers",
  description: "Like `/pagestream-index.json`, but never from memory.",
  ...INDEX_REQUEST,
};

/** `POST /ingest/remove`. */
export const REMOVE_OPERATION: Operation = {
  operationId: "ingestRemove",
  summary: "Remove files that retention need not keep",
  description:
    "All of them, or none: a file that the server's retention would keep refuses the request with `CONFLICT`. Those that are not there are no error.",
  body: {
    description: "Up to 1,000 objects, each of them any version or one",
    type: JSON_TYPE,
    schema: {
      type: "object",
      required: ["objects"],
      properties: {
        objects: {
          type: "array",
          description: "Keys as the index has them, each with the `etag` of the version or without",
          maxItems: 1000,
          items: {
            type: "object",
            required: ["key"],
            properties: { key: { type: "string" }, etag: { type: "string" } },
          },
        },
      },
    },
  },
  answers: { 204: { description: "None of them is there any more" } },
  refusals: ["BAD_REQUEST", "CONFLICT", "PRECONDITION_FAILED", "TOO_LARGE", "BODY_TIMEOUT"],
};

/** `PUT /ltx/:level/:name`. */
export const PUT_OPERATION: Operation = {
  operationId: "putLtxFile",
  summary: "Add an LTX file to the replica",
  description:
    "Creates only: it is always as with `If-None-Match: *`. The file is visible when all of it is there and found sound, and it joins only where the history of the replica leads to it.",
  parameters: FILE_PARAMETERS,
  body: { description: "The file", type: "application/octet-stream", schema: BYTES },
  answers: {
    200: { description: "The same file was there", headers: VERSION },
    201: { description: "The file is in the replica", headers: VERSION },
  },
  refusals: [
    "BAD_REQUEST",
    "BODY_TIMEOUT",
    "CONFLICT",
    "PRECONDITION_FAILED",
    "TOO_LARGE",
    "INVALID_FILE",
  ],
};

/** Reading or writing an object beside the levels. */
export function besideOperation(verb: "get" | "put", object: BesideObject): Operation {
  const { word, summary, isGuarded } = object;
  const operationId = `${verb}${word}`;
  if (verb === "get") {
    return {
      operationId,
      summary: `Read ${summary}`,
      answers: {
        200: {
          description: "The object",
          type: JSON_TYPE,
          schema: { type: "object" },
          headers: VERSION,
        },
      },
      refusals: ["NOT_FOUND"],
    };
  }
  const conditions: readonly ["if-match" | "if-none-match", string][] = [
    ["if-match", "Replace only this version"],
    ["if-none-match", "`*`: only create"],
  ];
  return {
    operationId,
    summary: `Write ${summary}`,
    ...(isGuarded ? { description: "With one of the two conditions." } : {}),
    parameters: conditions.map(([name, description]) => {
      return { name, in: "header", description, schema: { type: "string" } };
    }),
    body: { description: "The object", type: JSON_TYPE, schema: { type: "object" } },
    answers: {
      200: { description: "Replaced", headers: VERSION },
      201: { description: "Created", headers: VERSION },
    },
    refusals: ["BAD_REQUEST", "PRECONDITION_FAILED", "TOO_LARGE", "INVALID_FILE", "BODY_TIMEOUT"],
  };
}
