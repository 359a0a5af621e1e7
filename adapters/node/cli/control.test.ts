/** @module */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ControlFlags } from "./control.ts";
import { runInfo } from "./info.ts";
import { runList } from "./list.ts";
import { runRegister } from "./register.ts";
import { runStart } from "./start.ts";
import { runStop } from "./stop.ts";
import { runSync } from "./sync.ts";
import { runUnregister } from "./unregister.ts";

const flags: ControlFlags = { socket: join(tmpdir(), "no-daemon-here.sock"), timeout: "10" };
const zero: ControlFlags = { ...flags, timeout: "0" };

describe("commands that ask a daemon", () => {
  test.each([
    ["start", runStart, "pagestream start /path/to/db"],
    ["stop", runStop, "pagestream stop /path/to/db"],
    ["sync", runSync, "pagestream sync /path/to/db"],
    ["unregister", runUnregister, "pagestream unregister /path/to/db"],
    ["register", runRegister, "pagestream register -replica s3://bucket/prefix /path/to/db"],
  ] as const)("%s needs a database", async (_, run, hint) => {
    const refused = { message: "database path required", hint, exitCode: 2 };
    await expect(run(undefined, flags)).rejects.toMatchObject(refused);
    await expect(run("", flags)).rejects.toMatchObject(refused);
  });

  test("register needs a replica", async () => {
    await expect(runRegister("/x", flags)).rejects.toMatchObject({
      message: "-replica is required",
      hint: "pagestream register -replica s3://bucket/prefix /path/to/db",
      exitCode: 2,
    });
  });

  test.each([
    ["list", () => runList(zero)],
    ["info", () => runInfo({ ...flags, timeout: "-1" })],
    ["sync", () => runSync("/x", zero)],
    ["register", () => runRegister("/x", { ...zero, replica: "file:///r" })],
    ["unregister", () => runUnregister("/x", zero)],
  ])("%s refuses a timeout that is over at once", async (_, run) => {
    await expect(run()).rejects.toMatchObject({
      message: "timeout must be greater than 0",
      exitCode: 2,
    });
  });

  test("a timeout that is no number is refused", async () => {
    await expect(runList({ ...flags, timeout: "soon" })).rejects.toMatchObject({
      message: 'invalid value "soon" for flag -timeout: a number of seconds',
      exitCode: 2,
    });
  });

  test.each([
    ["list", () => runList(flags)],
    ["info", () => runInfo(flags)],
    ["start", () => runStart("/x", zero)],
    ["stop", () => runStop("/x", zero)],
    ["sync", () => runSync("/x", flags)],
    ["register", () => runRegister("/x", { ...flags, replica: "file:///r" })],
    ["unregister", () => runUnregister("/x", flags)],
  ])("%s tells that nobody listens", async (_, run) => {
    await expect(run()).rejects.toMatchObject({
      message: expect.stringMatching(/^failed to connect to control socket: .*ENOENT/),
      exitCode: 1,
    });
  });
});
