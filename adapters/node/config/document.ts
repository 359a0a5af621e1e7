/**
 * The YAML of a configuration as texts, lists and mappings, and the line that each of them stands on.
 *
 * @module
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
} from "yaml";
import { ConfigError, type ConfigProblem } from "./errors.ts";
import { type ExpandedText, expandVariables, unexpanded, type Variables } from "./expand.ts";

/** Keys and indexes that lead to a place. */
export type KeyPath = readonly (string | number)[];

/** A configuration before any key of it was looked at. */
export interface ConfigDocument {
  /** Path of the file, as errors name it. */
  readonly file: string;
  /** Texts, lists and mappings; undefined for what is empty. Keys that begin with `x-` are left out: anchors may stand there. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Lines on which a variable that is not set became nothing. */
  readonly unsetLines: readonly number[];
  /** Line of a place, or of the nearest that leads to it. */
  lineOf(path: KeyPath): number | undefined;
}

/** What is wrong by the codes of the parser, whose own messages show the text, secrets included. */
const WORDS: Readonly<Record<string, string>> = {
  BAD_INDENT: "the line is indented unlike those it belongs to",
  BLOCK_AS_IMPLICIT_KEY: "a key stands where a value must be; a value with a colon needs quotes",
  DUPLICATE_KEY: "the key is there twice",
  MISSING_CHAR: "a character is missing, such as a closing quote, bracket or colon",
  MULTILINE_IMPLICIT_KEY: "a key has no colon behind it on its line",
  TAB_AS_INDENT: "the line is indented with a tab; use spaces",
};

/** Options of {@linkcode parseConfigText}. */
export interface ParseTextOptions {
  /** Path of the file, as errors name it. */
  readonly file: string;
  /** What variables are replaced with; undefined: they stay. */
  readonly variables: Variables | undefined;
}

/**
 * Parses the text of a configuration.
 *
 * @throws {ConfigError} for what is no YAML, or no mapping.
 */
export function parseConfigText(
  source: string,
  { file, variables }: ParseTextOptions,
): ConfigDocument {
  const expanded =
    variables === undefined ? unexpanded(source) : expandVariables(source, variables);
  const lines = new LineCounter();
  const document = parseDocument(expanded.text, {
    // Litestream decodes each value by what its key needs: `account-name: 0123` is a text there too.
    schema: "failsafe",
    customTags: ["null", "merge"],
    merge: true,
    prettyErrors: false,
  });
  for (const at of newlines(source)) lines.addNewLine(at);
  const lineAt = (offset: number): number => lines.linePos(expanded.origin(offset)).line;
  if (document.errors.length > 0) {
    throw new ConfigError(
      file,
      document.errors.map(({ code, pos }): ConfigProblem => ({
        key: "",
        line: lineAt(pos[0]),
        message: WORDS[code] ?? "the text is no YAML",
      })),
    );
  }
  const data = withoutEmpty(toData(document, file)) ?? {};
  if (!isRecord(data)) {
    throw new ConfigError(file, [{ key: "", line: 1, message: "it is no mapping of keys" }]);
  }
  const keys = Object.entries(data).filter(([key]) => !key.startsWith("x-"));
  return {
    file,
    data: Object.fromEntries(keys),
    unsetLines: unsetLines(source, expanded, lines),
    lineOf: (path) => lineOf(document, path, lineAt),
  };
}

function toData(document: Document, file: string): unknown {
  try {
    return document.toJS();
  } catch {
    // Aliases within aliases, of which a few lines can make gigabytes.
    const message = "an alias names no anchor, or there are too many aliases";
    throw new ConfigError(file, [{ key: "", line: undefined, message }]);
  }
}

function* newlines(text: string): Generator<number> {
  yield 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) yield at + 1;
}

/** Not of comments, which often explain variables. */
function unsetLines(source: string, { unset }: ExpandedText, lines: LineCounter): number[] {
  const found = new Set<number>();
  for (const offset of unset) {
    const { line, col } = lines.linePos(offset);
    if (!/(?:^|\s)#/.test(source.slice(offset - col + 1, offset))) found.add(line);
  }
  return [...found];
}

/** As in Go a text that is empty is one that was not given, and so is `null`. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (!isRecord(value)) return value === null || value === "" ? undefined : value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, withoutEmpty(each)] as const),
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function lineOf(
  document: Document,
  path: KeyPath,
  lineAt: (offset: number) => number,
): number | undefined {
  let node: Node | undefined = document.contents ?? undefined;
  let offset: number | undefined;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    const pair: Pair | undefined = isMap(node)
      ? node.items.find(({ key }) => isScalar(key) && key.value === step)
      : undefined;
    const next: unknown = isSeq(node) && typeof step === "number" ? node.items[step] : pair?.value;
    const place = (pair?.key ?? next) as Node | undefined;
    if (place?.range === undefined || place.range === null) break;
    offset = place.range[0];
    node = (next ?? undefined) as Node | undefined;
  }
  return offset === undefined ? undefined : lineAt(offset);
}
