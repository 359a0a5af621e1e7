/** @module */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeCommands } from "../../adapters/node/cli/describe-commands.ts";
import { createProgram } from "../../adapters/node/cli/program.ts";
import { pagestream, ROOT } from "./command.ts";

const folder = join(ROOT, "examples/operations");
const read = (name: string): string => readFileSync(join(folder, name), "utf8");

/** Checks a command line of an example against the commands and flags that there are. */
function check([name, ...rest]: readonly string[]): void {
  const command = describeCommands(createProgram(() => {})).find((each) => each.name === name);
  const flags = command?.flags.map(({ long }) => long);
  for (const word of rest) if (word.startsWith("-")) expect(flags).toContain(`-${word}`);
}

test("the configuration of the examples is one", async () => {
  const env = { BUCKET: "backups", REGION: "eu-central-1" };
  const args = ["config", "check", "-config", join(folder, "litestream.yml")];
  const { code, stdout, stderr } = await pagestream(args, { env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("url: s3://backups/app");
});

test("the systemd unit, the image and the containers call the command as it is", () => {
  const [, line = ""] =
    /^ExecStart=\/usr\/bin\/pagestream (.*)$/m.exec(read("pagestream.service")) ?? [];
  const [, list = "[]"] = /^CMD (\[.*\])$/m.exec(read("Dockerfile")) ?? [];
  const composed = [...read("compose.yaml").matchAll(/^ +command: (.*)$/gm)];
  const commands = [
    line.split(" "),
    JSON.parse(list) as readonly string[],
    ...composed.map(([, words = ""]) => words.split(" ")),
  ];
  expect(commands.map(([name]) => name)).toEqual(["replicate", "replicate", "restore"]);
  commands.forEach(check);
});

test("systemd and the containers wait for the last upload, which has 30 s", () => {
  expect(read("pagestream.service")).toContain("TimeoutStopSec=45s");
  expect(read("compose.yaml")).toContain("stop_grace_period: 45s");
  expect(read("Dockerfile")).toContain("http://127.0.0.1:9090/health");
  expect(read("litestream.yml")).toContain('addr: ":9090"');
});

test("restore loads little that it does not need", () => {
  const bundle = join(ROOT, "adapters/node/dist/command");
  const loaded = new Set(
    readdirSync(bundle).filter((name) => /^(restore-.*|main)\.js$/.test(name)),
  );
  let code = "";
  for (const name of loaded) {
    const text = readFileSync(join(bundle, name), "utf8");
    for (const [, from = ""] of text.matchAll(/^(?:\} from|import) "\.\/(.*)";$/gm))
      loaded.add(from);
    code += text;
  }
  const parts = ["dist/ltx/merge.js", "dist/replica/primary.js", '"node:crypto"'];
  expect(parts.map((part) => code.includes(part))).toEqual([true, false, false]);
  expect(code.length).toBeLessThan(450_000);
});
