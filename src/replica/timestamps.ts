/**
 * A moment in the forms that people give it: the `timestamp` of a restore, of a view, of a command.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { parseTimestamp } from "../transports/timestamp.ts";

/** A moment in any of the forms a caller may give it. */
export type TimeInput = Date | string | number;

const RELATIVE =
  /^(a|an|\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)\s+ago$/i;

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/**
 * The moment a caller means: a `Date`, milliseconds since the Unix epoch, RFC 3339 text, or a number, a unit and
 * `ago` (`5 minutes ago`, `an hour ago`), counted back from `now` in milliseconds. Throws `InvalidArgumentError` for
 * anything else.
 */
export function resolveTime(input: TimeInput, now: number): Date {
  const ms = typeof input === "string" ? parseText(input.trim(), now) : Number(input);
  const date = new Date(ms ?? Number.NaN);
  if (Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError({
      operation: "use",
      object: `the time ${JSON.stringify(input)}`,
      what: "it is neither RFC 3339 nor relative text",
      next: "Write it like 2026-11-20T12:00:00Z or 5 minutes ago",
    });
  }
  return date;
}

function parseText(text: string, now: number): number | undefined {
  const exact = parseTimestamp(text);
  if (exact !== undefined) return hasRealDate(text) ? exact : undefined;
  const match = RELATIVE.exec(text);
  if (match === null) return undefined;
  const unit = (match[2] as string).toLowerCase();
  const size = unit === "ms" || unit.startsWith("milli") ? 1 : (UNIT_MS[unit.charAt(0)] as number);
  const count = /^an?$/i.test(match[1] as string) ? 1 : Number(match[1]);
  return now - count * size;
}

/** 30 February is a slip of the pen, not 2 March, which is what date arithmetic makes of it. */
function hasRealDate(text: string): boolean {
  const [year, month, day] = text.slice(0, 10).split("-").map(Number) as [number, number, number];
  const daysInMonth = new Date(Date.UTC(year, month, 0)).getUTCDate();
  return day >= 1 && day <= daysInMonth;
}
