/**
 * What the headers of a request ask for: a range, and only if.
 *
 * @module
 */

/** A part of a file: from an offset on, or so many bytes at its end. */
export type RequestedRange =
  | { readonly offset: number; readonly length: number | undefined }
  | { readonly last: number };

/** The range of a header `Range`; undefined for several ranges, and for all that is none, which a server passes over. */
export function parseRange(header: string | undefined): RequestedRange | undefined {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header ?? "");
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "") return last === "" ? undefined : { last: Number(last) };
  if (last === "") return { offset: Number(first), length: undefined };
  const length = Number(last) - Number(first) + 1;
  return length > 0 ? { offset: Number(first), length } : undefined;
}

/** Whether a header of tags, or `*`, names a version. `weak` passes over the marks of weak tags, as `If-None-Match` does. */
export function namesTag(
  header: string,
  tag: string,
  { weak }: { readonly weak: boolean },
): boolean {
  const tags = header.split(",").map((each) => each.trim());
  return tags.some((each) => each === "*" || each === tag || (weak && each === `W/${tag}`));
}
