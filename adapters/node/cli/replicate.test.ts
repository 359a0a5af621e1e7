/** @module */
import { describe, expect, test } from "vitest";
import { lateFlag, normaliseArguments } from "./arguments.ts";
import { createProgram } from "./program.ts";
import { type ReplicateFlags, runReplicate } from "./replicate.ts";

const flags: ReplicateFlags = { expandEnv: true };
const program = createProgram(() => undefined);

describe("runReplicate()", () => {
  test.each<readonly [string, readonly string[], Partial<ReplicateFlags>]>([
    ["must specify at least one replica URL for /a.db", ["/a.db"], {}],
    [
      "multiple replicas on a single database are no longer supported",
      ["/a.db", "file:///b", "file:///c"],
      {},
    ],
    [
      "cannot specify a replica URL and the -config flag",
      ["/a.db", "file:///b"],
      { config: "/etc/litestream.yml" },
    ],
    ["cannot specify -once flag with -exec", ["/a.db", "file:///b"], { once: true, exec: "true" }],
    [
      "cannot specify -force-snapshot flag without -once",
      ["/a.db", "file:///b"],
      { forceSnapshot: true },
    ],
    [
      "cannot specify -enforce-retention flag without -once",
      ["/a.db", "file:///b"],
      { enforceRetention: true },
    ],
    [
      'invalid value "loud" for flag -log-level: trace, debug, info, warn, error',
      ["/a.db", "file:///b"],
      { logLevel: "loud" },
    ],
  ])("runReplicate() refuses: %s", async (message, names, changed) => {
    const refused = runReplicate(names, { ...flags, ...changed });
    await expect(refused).rejects.toMatchObject({ message, exitCode: 2 });
  });
});

describe("lateFlag()", () => {
  test.each([
    ["-exec true a.db url", undefined],
    ["-config -once a.db url", undefined],
    ["-exec=true -once=true -log-level info a.db url", undefined],
    ["a.db -once url", "-once"],
    ["a.db url -exec true", "-exec"],
    ["a.db url --config=x", "-config"],
    ["-log-level trace a.db url -log-level info", "-log-level"],
    ["a.db -- -once", undefined],
  ])("lateFlag() of %s is %s", (line, flag) => {
    const [, ...args] = normaliseArguments(["replicate", ...line.split(" ")], program);
    expect(lateFlag(args, program)).toBe(flag);
  });
});
