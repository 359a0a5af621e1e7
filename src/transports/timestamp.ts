/**
 * The creation time that Litestream keeps as text in the metadata of an object.
 *
 * @module
 */

/** Name of the metadata entry that holds an LTX file's creation time. */
export const TIMESTAMP_METADATA = "litestream-timestamp";

const RFC3339 =
  /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/**
 * Milliseconds since the Unix epoch as UTC in RFC 3339, trailing zeros of the fraction dropped as Go does:
 * `…05.678Z`, `…05.6Z`, `…05Z`.
 */
export function formatTimestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.?0*Z$/, "Z");
}

/**
 * Reads an RFC 3339 time into milliseconds since the Unix epoch, finer digits rounded down; `undefined` where the text
 * is none.
 */
export function parseTimestamp(text: string): number | undefined {
  const match = RFC3339.exec(text);
  if (match === null) return undefined;
  const [, date, time, fraction = "", sign, hours = "0", minutes = "0"] = match;
  const plain = `${date}T${time}.${fraction.padEnd(3, "0").slice(0, 3)}Z`;
  const utc = Date.parse(plain);
  // Some engines read 30 February as a day in March.
  if (Number.isNaN(utc) || new Date(utc).toISOString() !== plain) return undefined;
  if (Number(hours) > 23 || Number(minutes) > 59) return undefined;
  const offset = (Number(hours) * 60 + Number(minutes)) * 60_000;
  return sign === "-" ? utc + offset : utc - offset;
}
