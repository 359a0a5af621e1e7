/**
 * Preloaded by `node --import`: loads the engine with the mutation that PAGESTREAM_MUTATION names.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { MUTATIONS } from "./mutations.ts";

const name = process.env["PAGESTREAM_MUTATION"];
const mutation = MUTATIONS.find((each) => each.name === name);
if (mutation === undefined) throw new Error(`there is no mutation "${name}"`);
const { file, find, replace } = mutation;
const target = new URL(`../../src/${file}`, import.meta.url);
const parts = readFileSync(fileURLToPath(target), "utf8").split(find);
if (parts.length !== 2) {
  throw new Error(`${file} holds the text of "${name}" ${parts.length - 1} times instead of once`);
}
const source = parts.join(replace);
let loaded = false;
registerHooks({
  load(url, context, next) {
    if (url !== target.href) return next(url, context);
    loaded = true;
    return { format: "module-typescript", source, shortCircuit: true };
  },
});
process.on("exit", () => {
  if (!loaded) throw new Error(`${file} was never loaded`);
});
