/** @module */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeCommands } from "../../adapters/node/cli/describe-commands.ts";
import { createProgram } from "../../adapters/node/cli/program.ts";
import { makeScratch, pagestream } from "./command.ts";

const scratch = makeScratch();
const commands = describeCommands(createProgram(() => {}));
const scripts: Record<string, string> = {};

beforeAll(async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout, stderr } = await pagestream(["completion", shell]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    scripts[shell] = stdout;
    writeFileSync(join(scratch.path, shell), stdout);
  }
  mkdirSync(join(scratch.path, "work/backup files"), { recursive: true });
  writeFileSync(join(scratch.path, "work/backup.db"), "");
});

afterAll(() => scratch.remove());

/** What bash offers behind the words, the last of which is the one that is being typed. */
function complete(...words: readonly string[]): readonly string[] {
  const program = `
    source "$1"; shift
    [[ $(complete -p pagestream) == "complete -F _pagestream pagestream" ]] || exit 1
    COMP_WORDS=(pagestream "$@"); COMP_CWORD=$#
    _pagestream
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ["--norc", "-c", program, "bash", join(scratch.path, "bash"), ...words];
  const cwd = join(scratch.path, "work");
  const { status, stdout, stderr } = spawnSync("bash", args, { encoding: "utf8", cwd });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout.split("\n").filter(Boolean);
}

describe("pagestream completion bash", () => {
  test("completion bash offers every command", () => {
    expect(complete("")).toEqual([...(commands[0]?.children ?? []), "help"]);
    expect(complete("res")).toContain("restore");
    expect(complete("ltx", "v")).toEqual(["verify"]);
  });

  test("completion bash offers every flag of a command, with two dashes or with one", () => {
    const { flags = [] } = commands.find(({ name }) => name === "restore") ?? {};
    expect(complete("restore", "-")).toEqual([...flags.map(({ long }) => long), "--help"]);
    expect(complete("restore", "--times")).toEqual(["--timestamp"]);
    expect(complete("restore", "-times")).toEqual(["-timestamp"]);
    expect(complete("ltx", "list", "--lev")).toEqual(["--level"]);
  });

  test("completion bash offers the values of a flag", () => {
    expect(complete("restore", "-integrity-check", "")).toEqual(["none", "quick", "full"]);
    expect(complete("restore", "--txid", "")).toEqual([]);
    expect(complete("completion", "z")).toEqual(["zsh"]);
  });

  test("completion bash offers files where a path is due, those with blanks too", () => {
    const files = ["backup files", "backup.db"];
    expect(complete("restore", "-o", "back").toSorted()).toEqual(files);
    expect(complete("status", "b").toSorted()).toEqual(files);
    expect(complete("version", "b")).toEqual([]);
  });
});

describe("pagestream completion", () => {
  test.each(["zsh", "fish"])("completion %s knows every command and every flag", (shell) => {
    const script = scripts[shell] ?? "";
    const dashes = shell === "fish" ? "-l " : "--";
    for (const { name, flags } of commands) {
      expect(script).toContain(name.split(" ").at(-1));
      for (const { long } of flags) expect(script).toContain(dashes + long.slice(2));
    }
  });

  test("completion of any shell that is installed is a program to that shell", () => {
    const path = (shell: string): string => join(scratch.path, shell);
    const runs = ["bash", "zsh", "fish"].map((shell) => spawnSync(shell, ["-n", path(shell)]));
    const installed = runs.filter(({ error }) => error === undefined);
    expect(installed.length).toBeGreaterThan(0);
    for (const { status, stderr } of installed) expect([status, String(stderr)]).toEqual([0, ""]);
  });

  test.each([
    [[], "shell required: bash, zsh or fish"],
    [["csh"], "csh is no shell that is known: bash, zsh or fish"],
  ])("completion %j is refused", async (args, message) => {
    const { code, stdout, stderr } = await pagestream(["completion", ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(`Error: ${message}\n`);
  });
});
