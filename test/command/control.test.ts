/** @module */
import { afterAll, describe, expect, test } from "vitest";
import { makeScratch, pagestream } from "./command.ts";

const scratch = makeScratch();
afterAll(() => scratch.remove());

describe("commands that ask a daemon", () => {
  test("unregister -dry-run asks nobody", async () => {
    const socket = scratch.next("none.sock");
    const line = ["unregister", "-dry-run", "-socket", socket, "app.db"];
    const { code, stdout } = await pagestream(line, { cwd: scratch.path });
    expect(code).toBe(0);
    expect(stdout).toContain(`  database: ${scratch.path}/app.db\n  socket: ${socket}\n`);
    expect(stdout).toMatch(/No unregister request was sent\.\n$/);
  });

  test("a failure is one line, or an object with -json", async () => {
    const socket = scratch.next("none.sock");
    const { code, stderr } = await pagestream(["list", "-socket", socket, "-json"]);
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toEqual({
      error: { code: "CONTROL", message: expect.stringContaining("failed to connect") },
    });
    const many = await pagestream(["sync", "-socket", socket, "a", "b"]);
    expect(many.code).toBe(2);
    expect(many.stderr).toMatch(/^Error: too many arguments/);
  });
});
