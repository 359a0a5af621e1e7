/**
 * The checks of the source tree, each one test: format, lint and the rules that no tool knows.
 *
 * @module
 */

import { pinnedNode, root, run } from "../lib/process.mjs";
import { problemsOf, runReported } from "../lib/report.mjs";
import { SUITES } from "../lib/suites.mjs";
import { checkBudget, checkErrorCodes, checkLinks, checkStorePages } from "./documents.ts";
import { checkCycles, checkImports } from "./imports.ts";
import { checkManifests, checkPins } from "./manifests.ts";
import { checkPurity } from "./purity.ts";
import { checkLength, checkModules, checkParameters, checkVocabulary } from "./shape.ts";
import { readTree } from "./tree.ts";

const tree = readTree(root);
const tool = (name: string, ...args: string[]) =>
  problemsOf(run, [pinnedNode, `node_modules/${name}/bin/${name}`, ...args]);

const passed = await runReported([
  { name: "format", run: () => tool("oxfmt", "--list-different", ".") },
  { name: "lint", run: () => tool("oxlint", "--deny-warnings", "--format=unix") },
  { name: "vocabulary", run: () => checkVocabulary(tree) },
  { name: "modules", run: () => checkModules(tree) },
  { name: "parameters", run: () => checkParameters(tree) },
  { name: "file length", run: () => checkLength(tree) },
  { name: "import direction", run: () => checkImports(tree) },
  { name: "import cycles", run: () => checkCycles(tree) },
  { name: "purity", run: () => checkPurity(tree) },
  { name: "manifests", run: () => checkManifests(tree) },
  { name: "pinned versions", run: () => checkPins(tree) },
  { name: "error codes", run: () => checkErrorCodes(tree) },
  { name: "links", run: () => checkLinks(tree) },
  { name: "pages of stores", run: () => checkStorePages(tree) },
  {
    name: "time budget",
    run: () =>
      checkBudget(
        tree,
        SUITES.map((suite) => suite.name),
      ),
  },
]);
process.exitCode = passed ? 0 : 1;
