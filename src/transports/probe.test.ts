import { expect, test } from "vitest";
import { UnsupportedError } from "../core/errors.ts";
import { PreconditionFailedError, StoreError } from "./errors.ts";
import { probeConditions, type ProbeRequests } from "./probe.ts";

const DETAILS = { operation: "write", object: "key", what: "no" };

/** A server of one object that honours the conditions named. */
function server(honours: readonly string[], present = false): ProbeRequests & { requests: number } {
  let there = present;
  const condition = async (name: string, holds: boolean): Promise<void> => {
    requests.requests++;
    if (honours.includes(name) && !holds) throw new PreconditionFailedError(DETAILS);
    there = name !== "remove";
  };
  const requests = {
    requests: 0,
    create: () => condition("create", !there),
    replace: () => condition("replace", false),
    createLarge: () => condition("createLarge", !there),
    remove: () => condition("remove", false),
  };
  return requests;
}

const ALL = ["create", "replace", "createLarge", "remove"];

test("probeConditions() finds what a server honours, with few requests the second time", async () => {
  for (const present of [false, true]) {
    const requests = server(ALL, present);
    expect(await probeConditions(requests)).toEqual({
      conditionalPut: true,
      conditionalReplace: true,
      conditionalLarge: true,
      conditionalDelete: true,
    });
    expect(requests.requests).toBe(present ? 4 : 5);
  }
});

test("probeConditions() finds each condition that is ignored", async () => {
  for (const missing of ALL) {
    const found = await probeConditions(server(ALL.filter((name) => name !== missing)));
    const none = missing === "create";
    expect(found).toEqual({
      conditionalPut: missing !== "create",
      conditionalReplace: !none && missing !== "replace",
      conditionalLarge: !none && missing !== "createLarge",
      conditionalDelete: !none && missing !== "remove",
    });
  }
});

test("probeConditions() takes a refusal to implement for no, and any other failure for none", async () => {
  const unsupported = { create: () => Promise.reject(new UnsupportedError(DETAILS)) };
  expect((await probeConditions(unsupported)).conditionalPut).toBe(false);
  const denied = { create: () => Promise.reject(new StoreError(DETAILS)) };
  await expect(probeConditions(denied)).rejects.toThrow(StoreError);
});
