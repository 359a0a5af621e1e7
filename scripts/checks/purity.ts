/**
 * The pure rooms use ECMAScript and `Uint8Array` alone.
 *
 * The compiler proves most of it, since those rooms compile with ECMAScript's library and no types of a runtime.
 * What a compiler would let pass is found here: settings that widen it, declarations that smuggle a global in, and the
 * parts of ECMAScript that read the world.
 *
 * @module
 */

import { CONTRACT } from "./imports.ts";
import { parse, visit } from "./syntax.ts";
import type { SyntaxNode } from "./syntax.ts";
import { json, sources } from "./tree.ts";
import type { Problems, Tree } from "./tree.ts";

const PURE_ROOMS = ["core", "ltx", "replica", "vfs"];

/** Web types the pure rooms may name, with those that follow from them. */
const WEB_TYPES = ["AbortSignal", "ReadableStream", "ReadableStreamDefaultReader", "WebAssembly"];

/** Names of runtimes, and the ways of ECMAScript to reach a name unseen. */
const FORBIDDEN = new Set(
  (
    "globalThis window self process Buffer Deno Bun require module setTimeout clearTimeout setInterval clearInterval " +
    "setImmediate queueMicrotask fetch crypto performance console navigator location TextEncoder TextDecoder URL " +
    "structuredClone atob btoa eval Function XMLHttpRequest WebSocket Blob"
  ).split(" "),
);

/** `new Date()`, `Date()`, `Date.now()` and `Math.random()` read a clock or chance. */
const FORBIDDEN_MEMBERS = new Set(["Date.now", "Math.random"]);

/** The settings of the pure rooms stay narrow, and their code names nothing of a runtime. */
export function checkPurity(tree: Tree): Problems {
  return [...checkSettings(tree), ...checkWebTypes(tree), ...checkCode(tree)];
}

interface Settings {
  readonly extends?: string;
  readonly include?: readonly string[];
  readonly compilerOptions?: {
    readonly lib?: readonly string[];
    readonly types?: readonly string[];
  };
}

function checkSettings(tree: Tree): string[] {
  const problems: string[] = [];
  // Disposal is ECMAScript's, newer than the year the rest is held to.
  const expected = JSON.stringify({ lib: ["ES2023", "ESNext.Disposable"], types: [] });
  const base = json<Settings>(tree, "tsconfig.base.json").compilerOptions;
  for (const room of PURE_ROOMS) {
    const path = `src/${room}/tsconfig.json`;
    const settings = json<Settings>(tree, path);
    const own = settings.compilerOptions;
    const used = JSON.stringify({ lib: own?.lib ?? base?.lib, types: own?.types ?? base?.types });
    if (settings.extends !== "../../tsconfig.base.json")
      problems.push(`${path}: does not extend the base`);
    if (used !== expected) problems.push(`${path}: compiles with ${used} instead of ${expected}`);
    const include = JSON.stringify(settings.include);
    if (include !== JSON.stringify(["./**/*.ts", "../web-types.d.ts"])) {
      problems.push(`${path}: includes ${include} instead of its own files and the web types`);
    }
  }
  return problems;
}

function checkWebTypes(tree: Tree): string[] {
  const path = "src/web-types.d.ts";
  const text = tree.get(path);
  if (text === undefined) return [];
  const problems: string[] = [];
  for (const node of parse(path, text).program["body"] as SyntaxNode[]) {
    const name = (node["id"] as { name?: string } | undefined)?.name ?? node.type;
    if (!WEB_TYPES.includes(name))
      problems.push(`${path}: ${name} is not a web type of the contracts`);
  }
  return problems;
}

function checkCode(tree: Tree): string[] {
  const problems: string[] = [];
  for (const [path, text] of tree) {
    if (!PURE_ROOMS.some((room) => path.startsWith(`src/${room}/`)) || !path.endsWith(".d.ts"))
      continue;
    for (const node of parse(path, text).program["body"] as SyntaxNode[]) {
      const described = (node["id"] as SyntaxNode | undefined)?.type;
      if (node.type !== "TSModuleDeclaration" || described !== "Literal") {
        problems.push(`${path}: declares more than the types of a package`);
      }
    }
  }
  for (const [path, text] of sources(tree)) {
    const pure = PURE_ROOMS.some((room) => path.startsWith(`src/${room}/`));
    if (!pure && !CONTRACT.includes(path)) continue;
    if (/^\/\/\/\s*<reference/m.test(text)) problems.push(`${path}: has a reference directive`);
    const syntax = parse(path, text);
    const own = declaredNames(syntax.program);
    visit(syntax.program, (node, parents) => {
      const found = forbidden(node, parents, own);
      if (found !== undefined) problems.push(`${path}:${syntax.line(node.start)} uses ${found}`);
    });
  }
  return problems;
}

/** The names that a file gives to its own variables and parameters; `window` may be one of a stream. */
function declaredNames(program: SyntaxNode): ReadonlySet<string> {
  const names = new Set<string>();
  const bind = (pattern: unknown): void => {
    const node = pattern as SyntaxNode | null | undefined;
    if (node?.type === "Identifier") names.add(nameOf(node));
    else if (node?.type === "ObjectPattern") {
      for (const property of node["properties"] as SyntaxNode[]) {
        bind(property["value"] ?? property["argument"]);
      }
    } else if (node?.type === "ArrayPattern") (node["elements"] as unknown[]).forEach(bind);
    else if (node?.type === "AssignmentPattern") bind(node["left"]);
    else if (node?.type === "RestElement") bind(node["argument"]);
  };
  visit(program, (node, parents) => {
    if (node.type === "VariableDeclarator" && parents.at(-1)?.["declare"] !== true)
      bind(node["id"]);
    if (/^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) {
      (node["params"] as unknown[]).forEach(bind);
    }
  });
  return names;
}

function forbidden(
  node: SyntaxNode,
  parents: readonly SyntaxNode[],
  own: ReadonlySet<string>,
): string | undefined {
  const parent = parents.at(-1);
  if (node["declare"] === true) return "a declaration of something that exists elsewhere";
  if (
    node.type === "TSGlobalDeclaration" ||
    (node.type === "TSModuleDeclaration" && node["kind"] === "global")
  ) {
    return "a declaration of a global";
  }
  if (node.type === "MemberExpression" && node["computed"] === false) {
    const name = `${nameOf(node["object"])}.${nameOf(node["property"])}`;
    if (FORBIDDEN_MEMBERS.has(name)) return name;
  }
  if (
    (node.type === "NewExpression" || node.type === "CallExpression") &&
    nameOf(node["callee"]) === "Date"
  ) {
    if ((node["arguments"] as unknown[]).length === 0) return "the clock through Date";
  }
  if (node.type !== "Identifier" || !FORBIDDEN.has(nameOf(node)) || own.has(nameOf(node))) {
    return undefined;
  }
  return parent !== undefined && isMereName(node, parent) ? undefined : nameOf(node);
}

/** A property, a key, a method or a label has a name of its own: `platform.setTimeout` is not the global. */
function isMereName(node: SyntaxNode, parent: SyntaxNode): boolean {
  if (parent["computed"] === true) return false;
  if (parent.type === "MemberExpression") return parent["property"] === node;
  if (parent.type === "Property") return parent["key"] === node && parent["shorthand"] !== true;
  // `Function` as a type names no value.
  if (parent.type === "TSTypeReference") return nameOf(node) === "Function";
  return parent["key"] === node;
}

function nameOf(node: unknown): string {
  return (node as { name?: string } | undefined)?.name ?? "";
}
