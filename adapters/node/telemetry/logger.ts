/**
 * Structured logs, as Litestream writes them: `text` (key=value), `json`, `pretty`.
 *
 * @module
 */
import { styleText } from "node:util";
import { maskSecrets } from "./secrets.ts";

/** How much a line matters, from least to most. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error"] as const;

/** One of {@linkcode LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** How lines are written. */
export const LOG_TYPES = ["text", "json", "pretty"] as const;

/** One of {@linkcode LOG_TYPES}. */
export type LogType = (typeof LOG_TYPES)[number];

/** Values beside a message. An error becomes its message and its code; a value that is undefined is left out. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where a program tells what it does. */
export interface Logger {
  /** Whether lines of a level are written. */
  shows(level: LogLevel): boolean;
  /** Writes one line, unless the level is below the logger's or the line repeats one of the last half minute. */
  log(level: LogLevel, message: string, fields?: LogFields): void;
}

/** Options of {@linkcode createLogger}. */
export interface LoggerOptions {
  /** Lines below it are left out. @default "info" */
  readonly level?: LogLevel | undefined;
  /** @default "text" */
  readonly type?: LogType | undefined;
  /** Gets each line, with its line feed. @default standard error */
  readonly write?: ((line: string) => void) | undefined;
  /** Whether each line names the file and line that wrote it. @default false */
  readonly source?: boolean | undefined;
  /** Whether `pretty` uses colours. @default where standard error is a terminal */
  readonly colors?: boolean | undefined;
  /** Milliseconds for which an equal warning or error is not repeated. @default 30000 */
  readonly repeatMs?: number | undefined;
  /** Milliseconds since the epoch. @default the clock */
  readonly now?: (() => number) | undefined;
}

/** Equal lines that are remembered; past it the oldest is forgotten, which may then come once more. */
const MAX_REMEMBERED = 1000;

const STYLES = {
  trace: "dim",
  debug: "dim",
  info: "green",
  warn: "yellow",
  error: "red",
} as const satisfies Readonly<Record<LogLevel, string>>;

/** Makes a logger. Secrets in messages and fields are masked, whatever wrote them there. */
export function createLogger(options: LoggerOptions = {}): Logger {
  const {
    level: least = "info",
    type = "text",
    write = (line) => process.stderr.write(line),
    repeatMs = 30_000,
    now = Date.now,
  } = options;
  const colors = options.colors ?? process.stderr.isTTY === true;
  const repeats = new Map<string, { readonly since: number; left: number }>();

  /** How often an equal line was left out; undefined where this one is to be left out too. */
  const leftOut = (key: string): number | undefined => {
    const before = repeats.get(key);
    if (before !== undefined && now() - before.since < repeatMs) {
      before.left++;
      return undefined;
    }
    repeats.delete(key);
    repeats.set(key, { since: now(), left: 0 });
    if (repeats.size > MAX_REMEMBERED) repeats.delete(repeats.keys().next().value as string);
    return before?.left ?? 0;
  };

  const shows = (level: LogLevel): boolean => {
    return LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(least);
  };

  return {
    shows,
    log(level, message, fields = {}) {
      if (!shows(level)) return;
      const shown: Record<string, unknown> = {};
      for (const [name, value] of Object.entries(fields)) {
        if (value !== undefined) Object.assign(shown, toShown(name, value));
      }
      const text = maskSecrets(message);
      if (level === "warn" || level === "error") {
        const left = leftOut(JSON.stringify([text, shown]));
        if (left === undefined) return;
        if (left > 0) shown["repeated"] = left;
      }
      if (options.source === true) Object.assign(shown, { source: callerOf(new Error().stack) });
      const time = new Date(now()).toISOString();
      write(`${lineOf[type]({ time, level, message: text, fields: shown, colors })}\n`);
    },
  };
}

/** `daemon.js:120`, of the third line of a stack: the first is its head, the second the logger. */
function callerOf(stack = ""): string | undefined {
  return /([^/\\]+:\d+):\d+\)?$/.exec(stack.split("\n")[2] ?? "")?.[1];
}

interface Line {
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly colors: boolean;
}

const lineOf: Readonly<Record<LogType, (line: Line) => string>> = {
  text: ({ time, level, message, fields }) =>
    [
      `time=${time}`,
      `level=${level.toUpperCase()}`,
      `msg=${quote(message)}`,
      ...pairs(fields),
    ].join(" "),
  json: ({ time, level, message, fields }) =>
    JSON.stringify({ time, level: level.toUpperCase(), msg: message, ...fields }),
  pretty({ time, level, message, fields, colors }) {
    const styled = (style: (typeof STYLES)[LogLevel], text: string): string =>
      colors ? styleText(style, text, { validateStream: false }) : text;
    const head = [styled("dim", time), styled(STYLES[level], level.toUpperCase().padEnd(5))];
    const rest = pairs(fields).map((pair) => styled("dim", pair));
    return [...head, oneLine(message), ...rest].join(" ");
  },
};

function pairs(fields: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(fields).map(([name, value]) => `${name}=${quote(toText(value))}`);
}

/** A field as it is shown: no secret, nothing that JSON does not know. */
function toShown(name: string, value: unknown): Readonly<Record<string, unknown>> {
  if (value instanceof Error) {
    const { code } = value as { readonly code?: unknown };
    const shown = { [name]: maskSecrets(value.message) };
    return typeof code === "string" ? { ...shown, [`${name}_code`]: code } : shown;
  }
  if (typeof value === "bigint") return { [name]: String(value) };
  if (value instanceof Date) return { [name]: value.toISOString() };
  return { [name]: maskSecrets(value, name) };
}

function toText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** As Go's text handler does: quoted where a reader could take it for more than one value. */
function quote(text: string): string {
  return /^[^\s"=\p{C}]+$/u.test(text) ? text : JSON.stringify(text);
}

function oneLine(text: string): string {
  return text.replaceAll(/\p{C}+/gu, " ");
}
