/**
 * Reads a source file's imports, exports and identifiers with a real parser.
 *
 * @module
 */

import { parseSync } from "oxc-parser";

/** One import or re-export. */
export interface ImportLine {
  readonly specifier: string;
  readonly line: number;
  /** Erased by the compiler: no code is loaded. */
  readonly typeOnly: boolean;
  /** `import()`, loaded only when reached. */
  readonly dynamic: boolean;
}

/** A node of the syntax tree, as loosely as the checks need it. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

/** One parsed file. */
export interface Syntax {
  readonly imports: readonly ImportLine[];
  readonly hasDefaultExport: boolean;
  readonly program: SyntaxNode;
  /** 1-based line of an offset. */
  line(offset: number): number;
}

const parsed = new Map<string, Syntax>();

/** Parses a file; the same text is parsed once. A syntax error throws with the path. */
export function parse(path: string, text: string): Syntax {
  const key = `${path}\n${text}`;
  let syntax = parsed.get(key);
  if (syntax === undefined) {
    syntax = read(path, text);
    parsed.set(key, syntax);
  }
  return syntax;
}

function read(path: string, text: string): Syntax {
  const result = parseSync(path, text);
  const error = result.errors[0];
  if (error !== undefined) throw new SyntaxError(`${path}: ${error.message}`);
  const lineStarts = [0];
  for (let i = 0; i < text.length; i++) if (text[i] === "\n") lineStarts.push(i + 1);
  const line = (offset: number): number => lineStarts.findLastIndex((start) => start <= offset) + 1;

  const imports: ImportLine[] = [];
  for (const entry of result.module.staticImports) {
    imports.push({
      specifier: entry.moduleRequest.value,
      line: line(entry.start),
      typeOnly: entry.entries.length > 0 && entry.entries.every((name) => name.isType),
      dynamic: false,
    });
  }
  for (const entry of result.module.staticExports) {
    const from = entry.entries.find((name) => name.moduleRequest !== null)?.moduleRequest;
    if (from === undefined || from === null) continue;
    const typeOnly = entry.entries.every((name) => name.isType);
    imports.push({ specifier: from.value, line: line(entry.start), typeOnly, dynamic: false });
  }
  for (const entry of result.module.dynamicImports) {
    const source = text.slice(entry.moduleRequest.start, entry.moduleRequest.end);
    const specifier = source.replace(/^["'`]|["'`]$/g, "");
    imports.push({ specifier, line: line(entry.start), typeOnly: false, dynamic: true });
  }
  const hasDefaultExport = result.module.staticExports.some((entry) =>
    entry.entries.some(
      ({ exportName }) => exportName.kind === "Default" || exportName.name === "default",
    ),
  );
  return { imports, hasDefaultExport, program: result.program as unknown as SyntaxNode, line };
}

/** Visits every node with its parents, nearest last. */
export function visit(
  node: SyntaxNode,
  visitor: (node: SyntaxNode, parents: readonly SyntaxNode[]) => void,
): void {
  const parents: SyntaxNode[] = [];
  const step = (current: SyntaxNode): void => {
    visitor(current, parents);
    parents.push(current);
    for (const value of Object.values(current)) {
      for (const child of Array.isArray(value) ? value : [value]) {
        if (isNode(child)) step(child);
      }
    }
    parents.pop();
  };
  step(node);
}

function isNode(value: unknown): value is SyntaxNode {
  return (
    typeof value === "object" && value !== null && typeof (value as SyntaxNode).type === "string"
  );
}
