/** @module */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT, pagestream } from "./command.ts";

const { version } = JSON.parse(readFileSync(join(ROOT, "adapters/node/package.json"), "utf8")) as {
  readonly version: string;
};

describe("pagestream help", () => {
  test.each([["help"], ["-h"], ["-help"], ["--help"]])("%s prints all commands", async (flag) => {
    const { code, stdout, stderr } = await pagestream([flag]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^Usage: pagestream <command> \[flags\]\n/);
    for (const name of [
      "demo",
      "restore",
      "query",
      "snapshot",
      "verify",
      "status",
      "points",
      "ltx",
      "version",
      "help",
    ]) {
      expect(stdout).toMatch(new RegExp(`^ {2}${name} `, "m"));
    }
    expect(stdout).toContain("Exit codes:");
  });

  test.each([
    ["demo", "--keep"],
    ["restore", "--txid <hex16>"],
    ["snapshot", "[database] [replica]"],
    ["verify", "--probe <sql>"],
    ["status", "--json"],
    ["points", "--limit <n>"],
    ["ltx", "verify"],
    ["ltx list", "--level <level>"],
    ["ltx show", "--pages"],
    ["ltx verify", "--json"],
    ["version", "--verbose"],
  ])("%s -h prints its own help, and so do the other ways", async (name, text) => {
    const words = name.split(" ");
    const { code, stdout, stderr } = await pagestream([...words, "-h"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`Usage: pagestream ${name}`);
    expect(stdout).toContain(text);
    expect((await pagestream([...words, "-help"])).stdout).toBe(stdout);
    expect((await pagestream([...words, "--help"])).stdout).toBe(stdout);
    expect((await pagestream(["help", ...words])).stdout).toBe(stdout);
  });

  test("no command at all prints the help and is an error", async () => {
    const { code, stdout, stderr } = await pagestream([]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: "" });
    expect(stdout).toMatch(/^Usage: pagestream/);
  });

  test.each([
    [["nonsense"], "pagestream nonsense: unknown command", "pagestream help"],
    [["restor", "-o", "x"], "pagestream restor: unknown command", "pagestream restore"],
    [["help", "nonsense"], "pagestream nonsense: unknown command", "pagestream help"],
    [["-nonsense"], "unknown option '--nonsense'", "pagestream --help"],
    [["version", "-verbos"], "unknown option '--verbos'", "--verbose"],
    [
      ["demo", "extra"],
      "too many arguments for 'demo'. Expected 0 arguments but got 1: extra.",
      "pagestream demo --help",
    ],
  ])("%j is refused with a suggestion", async (args, message, hint) => {
    expect(await pagestream(args)).toEqual({
      code: 2,
      signal: null,
      stdout: "",
      stderr: `Error: ${message}\nTry: ${hint}\n`,
    });
  });
});

describe("pagestream version", () => {
  test.each(["version", "-version", "--version"])("%s prints one line", async (name) => {
    expect(await pagestream([name])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  test.each(["-verbose", "--verbose"])("version %s adds the runtime", async (flag) => {
    const { stdout } = await pagestream(["version", flag]);
    expect(stdout).toMatch(new RegExp(`^Version: +${version}$`, "m"));
    expect(stdout).toContain(process.version);
  });
});
