/**
 * The texts that stand for durations, sizes, numbers and flags in Litestream's configuration.
 *
 * @module
 */

/** Milliseconds of each unit of a duration, as Go writes them. */
const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration of Go, such as `1m30s`, `-5s` or `0`; undefined for what is none. */
export function parseDuration(text: string): number | undefined {
  const [, sign = "", rest = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (rest === "0") return 0;
  const part = /((?:\d+\.?\d*|\.\d+))(ns|us|µs|μs|ms|s|m|h)/y;
  let ms = 0;
  let end = 0;
  for (let match = part.exec(rest); match !== null; match = part.exec(rest)) {
    ms += Number(match[1]) * (UNIT_MS[match[2] as string] as number);
    end = part.lastIndex;
  }
  if (end === 0 || end < rest.length || !Number.isFinite(ms)) return undefined;
  return sign === "-" ? -ms : ms;
}

/** A duration as Go would write it: `1m30s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms < 1000) return `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = (ms % 60_000) / 1000;
  const parts = [
    [hours, "h"],
    [minutes, "m"],
    [seconds, "s"],
  ] as const;
  return parts.map(([count, unit]) => (count === 0 ? "" : `${count}${unit}`)).join("");
}

const SIZE_UNITS = "kmgtpe";

/**
 * Bytes of a size: a number, or one with a unit of a thousand (`5MB`, `5M`) or of 1,024 (`5MiB`, `5Mi`). Undefined for what
 * is none, and for more bytes than a number can count.
 */
export function parseByteSize(text: string): number | undefined {
  const match = /^\s*(\d[\d,]*(?:\.\d*)?|\.\d+)\s*(?:([kmgtpe])(i?))?b?\s*$/i.exec(text);
  if (match === null) return undefined;
  const [, number = "", unit = "", binary] = match;
  const power = unit === "" ? 0 : SIZE_UNITS.indexOf(unit.toLowerCase()) + 1;
  const bytes = Number(number.replaceAll(",", "")) * (binary === "" ? 1000 : 1024) ** power;
  return bytes <= Number.MAX_SAFE_INTEGER ? Math.trunc(bytes) : undefined;
}

/** A flag by any of YAML 1.1's words; undefined for what is none. */
export function parseFlag(text: string): boolean | undefined {
  if (/^(?:y|yes|true|on)$/i.test(text)) return true;
  if (/^(?:n|no|false|off)$/i.test(text)) return false;
  return undefined;
}

/** A whole number in decimal digits; undefined for what is none. */
export function parseWhole(text: string): number | undefined {
  const value = /^[+-]?\d{1,16}$/.test(text) ? Number(text) : undefined;
  return value !== undefined && Number.isSafeInteger(value) ? value : undefined;
}

/** The mode of a file: octal, with the zero that tells so. */
export function parseMode(text: string): number | undefined {
  const digits = /^0o?([0-7]{1,4})$/.exec(text)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

/** Whether a text is `host:port`, where the host may be left out. */
export function isAddress(text: string): boolean {
  const port = /^(?:\[[\da-f:.%\w]*\]|[^:\s/[\]]*):(\d{1,5})$/i.exec(text)?.[1];
  return port !== undefined && Number(port) <= 65_535;
}
