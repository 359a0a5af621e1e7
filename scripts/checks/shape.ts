/**
 * The shape of files and names: length, exports, parameters, vocabulary.
 *
 * @module
 */

import { parse, visit } from "./syntax.ts";
import type { SyntaxNode } from "./syntax.ts";
import { sources } from "./tree.ts";
import type { Problems, Tree } from "./tree.ts";

const MAX_LINES = 600;

/** Three parameters and one object of options. */
const MAX_PARAMETERS = 4;

/** Spellings that are not Litestream's or SQLite's, with the right one. Matched against parts of identifiers. */
const VOCABULARY: readonly (readonly [RegExp, string])[] = [
  [/[tT]xI[dD]|^TxID|[tT]ransactionI[dD]/, "txid"],
  [/[pP]age(No|Num|Number)s?(?![a-z])/, "pgno"],
  [/^(page|Page)size/, "pageSize"],
  [/[pP]gNo(?![a-z])/, "pgno"],
  [/[sS]napShot/, "snapshot"],
  [/[cC]heckSum/, "checksum"],
  [/[tT]imeStamp/, "timestamp"],
  [/[lL]vl(?![a-z])/, "level"],
  [/[lL]iteStream/, "litestream"],
];

/** No source is longer than 600 lines; tests may be. */
export function checkLength(tree: Tree): Problems {
  return [...sources(tree), ...scripts(tree)]
    .map(([path, text]) => [path, text.trimEnd().split("\n").length] as const)
    .filter(([, lines]) => lines > MAX_LINES)
    .map(([path, lines]) => `${path}: ${lines} lines, the limit is ${MAX_LINES}`);
}

function scripts(tree: Tree): [string, string][] {
  return [...tree].filter(([path]) => path.startsWith("scripts/"));
}

/** Named exports only, and every source begins with a module comment. */
export function checkModules(tree: Tree): Problems {
  const problems: string[] = [];
  for (const [path, text] of sources(tree)) {
    if (parse(path, text).hasDefaultExport) problems.push(`${path}: has a default export`);
    if (!/^\/\*\*(?:(?!\*\/)[\s\S])*@module/.test(text)) {
      problems.push(`${path}: does not begin with a @module comment`);
    }
  }
  return problems;
}

/** An exported function takes at most three parameters and one object of options. */
export function checkParameters(tree: Tree): Problems {
  const problems: string[] = [];
  for (const [path, text] of sources(tree)) {
    const syntax = parse(path, text);
    for (const node of syntax.program["body"] as SyntaxNode[]) {
      const declaration = node["declaration"] as SyntaxNode | null | undefined;
      if (node.type !== "ExportNamedDeclaration" || declaration?.type !== "FunctionDeclaration")
        continue;
      const count = (declaration["params"] as unknown[]).length;
      const name = (declaration["id"] as { name: string }).name;
      if (count > MAX_PARAMETERS) {
        problems.push(`${path}:${syntax.line(node.start)} ${name}() takes ${count} parameters`);
      }
    }
  }
  return problems;
}

/** Identifiers use Litestream's and SQLite's words. Strings and comments are free. */
export function checkVocabulary(tree: Tree): Problems {
  const problems: string[] = [];
  for (const [path, text] of sources(tree, { tests: true })) {
    const syntax = parse(path, text);
    const seen = new Set<string>();
    visit(syntax.program, (node) => {
      if (node.type !== "Identifier" && node.type !== "PrivateIdentifier") return;
      const name = node["name"] as string;
      if (seen.has(name)) return;
      seen.add(name);
      const rule = VOCABULARY.find(([wrong]) => wrong.test(name));
      if (rule !== undefined) {
        problems.push(`${path}:${syntax.line(node.start)} ${name}: the word is ${rule[1]}`);
      }
    });
  }
  return problems;
}
