/**
 * What the pages say must be true: error codes, links, stores, the time budget.
 *
 * @module
 */

import { posix } from "node:path";
import { json } from "./tree.ts";
import type { Problems, Tree } from "./tree.ts";

/** Every error code has one row in `docs/errors.md`, and every row a code. */
export function checkErrorCodes(tree: Tree): Problems {
  const source = /ERROR_CODES = \[([^\]]*)\]/.exec(tree.get("src/core/errors.ts") ?? "")?.[1] ?? "";
  const codes = [...source.matchAll(/"([A-Z_0-9]+)"/g)].map((match) => match[1] ?? "");
  if (codes.length === 0) return ["src/core/errors.ts: ERROR_CODES was not found"];
  const page = tree.get("docs/errors.md");
  if (page === undefined) return ["docs/errors.md: does not exist"];
  const rows = [...page.matchAll(/^\|\s*`([A-Z_0-9]+)`\s*\|(.*)\|\s*$/gm)];
  const documented = rows.map((row) => row[1] ?? "");
  const problems = [
    ...codes.filter((code) => !documented.includes(code)).map((code) => `has no row for ${code}`),
    ...documented
      .filter((code) => !codes.includes(code))
      .map((code) => `has a row for ${code}, which is no code`),
    ...documented
      .filter((code, i) => documented.indexOf(code) !== i)
      .map((code) => `has two rows for ${code}`),
    ...rows
      .filter((row) => (row[2] ?? "").split("|").some((cell) => cell.trim() === ""))
      .map((row) => `has an empty cell in the row of ${row[1]}`),
  ];
  return problems.map((problem) => `docs/errors.md: ${problem}`);
}

/** Every relative link of a page leads to a file, and its fragment to a heading. */
export function checkLinks(tree: Tree): Problems {
  const problems: string[] = [];
  const folders = new Set<string>();
  for (const path of tree.keys()) {
    for (let folder = posix.dirname(path); folder !== "."; folder = posix.dirname(folder))
      folders.add(folder);
  }
  for (const [path, text] of tree) {
    if (!path.endsWith(".md")) continue;
    for (const target of links(text)) {
      if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue;
      const [file = "", fragment] = target.split("#");
      const to =
        file === "" ? path : posix.join(posix.dirname(path), decodeURI(file)).replace(/\/$/, "");
      const page = tree.get(to);
      if (page === undefined && !folders.has(to))
        problems.push(`${path}: links to ${target}, which does not exist`);
      else if (fragment !== undefined && to.endsWith(".md") && !anchors(page ?? "").has(fragment)) {
        problems.push(`${path}: links to ${target}, where no heading has that name`);
      }
    }
  }
  return problems;
}

/** Link targets outside code: inline links, images and reference definitions. */
function links(text: string): string[] {
  const prose = text.replace(/^(```|~~~)[\s\S]*?^\1/gm, "").replace(/`[^`\n]*`/g, "");
  const inline = [...prose.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
  const definitions = [...prose.matchAll(/^\[[^\]]+\]:\s*<?(\S+?)>?\s*$/gm)];
  return [...inline, ...definitions].map((match) => match[1] ?? "");
}

/** The fragments that a page's headings can be reached by. */
function anchors(text: string): Set<string> {
  const found = new Set<string>();
  for (const match of text.matchAll(/^#{1,6}\s+(.*)$/gm)) {
    const slug = (match[1] ?? "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(/\s/g, "-");
    found.add(found.has(slug) ? `${slug}-1` : slug);
  }
  return found;
}

/** The headings of each page below `docs/stores`, in order. */
const STORE_HEADINGS: readonly string[] = [
  "Set-up",
  "Options",
  "Credentials",
  "Limits",
  "Guarantees",
  "Cost per month at one write per second",
];

/** Entries below `pagestream/transports` that are no stores. */
const NO_STORES: readonly string[] = ["store-from-url", "store-kit"];

/** Every store that has an entry point has a row in `docs/stores.md` and a page with the headings of all such pages. */
export function checkStorePages(tree: Tree): Problems {
  const problems: string[] = [];
  for (const [path, text] of tree) {
    if (!/^docs\/stores\/[^/]+\.md$/.test(path)) continue;
    const prose = text.replace(/^```[\s\S]*?^```/gm, "");
    const headings = [...prose.matchAll(/^##+ (.*)$/gm)].map((match) => match[1]);
    if (headings.join() !== STORE_HEADINGS.join())
      problems.push(`${path}: has the headings ${headings.join(", ")}`);
  }
  const rows = (tree.get("docs/stores.md") ?? "").split("\n").filter((row) => row.startsWith("|"));
  const { exports = {} } = json<{ exports?: Record<string, unknown> }>(tree, "package.json");
  for (const entry of Object.keys(exports)) {
    const name = /^\.\/transports\/(.*)$/.exec(entry)?.[1];
    if (name === undefined || NO_STORES.includes(name)) continue;
    const row = rows.find((each) => each.includes(`\`pagestream/transports/${name}\``));
    const page = `docs/${/\]\((stores\/[\w-]+\.md)\)/.exec(row ?? "")?.[1]}`;
    if (row === undefined)
      problems.push(`docs/stores.md: has no row for pagestream/transports/${name}`);
    else if (!(tree.get(page) ?? "").includes(`pagestream/transports/${name}`))
      problems.push(`docs/stores.md: links to no page about pagestream/transports/${name}`);
  }
  return problems;
}

interface Budget {
  readonly totalSeconds?: number;
  readonly suites?: Readonly<Record<string, number>>;
  readonly reserved?: Readonly<Record<string, number>>;
}

/** What is left of twenty minutes after two for installing and building. */
const MAX_TOTAL_SECONDS = 1080;

/** The shares of all suites, those still to come included, fit the whole; every suite has one and none is unknown. */
export function checkBudget(tree: Tree, suites: readonly string[]): Problems {
  const budget = json<Budget>(tree, "test/budget.json");
  const shares = Object.entries({ ...budget.suites, ...budget.reserved });
  const sum = shares.reduce((total, [, share]) => total + share, 0);
  const problems: string[] = [];
  const total = budget.totalSeconds ?? 0;
  if (total > MAX_TOTAL_SECONDS)
    problems.push(`the total of ${total} s is above ${MAX_TOTAL_SECONDS} s`);
  if (sum > total) problems.push(`the shares sum to ${sum} s, more than ${total} s`);
  for (const [name, share] of shares) if (!(share > 0)) problems.push(`${name} has no time`);
  for (const name of suites)
    if (budget.suites?.[name] === undefined) problems.push(`suite ${name} has no share`);
  for (const name of Object.keys(budget.suites ?? {})) {
    if (!suites.includes(name)) problems.push(`there is no suite ${name}`);
  }
  for (const name of Object.keys(budget.reserved ?? {})) {
    if (suites.includes(name))
      problems.push(`suite ${name} exists, so its share is not reserved any more`);
  }
  return problems.map((problem) => `test/budget.json: ${problem}`);
}
