/**
 * What the headers of a request ask for: a range, and only if.
 *
 * @module
 */
import type { Context } from "hono";
import { Refusal } from "./refusal.ts";

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

/** Looks at `If-Match` and `If-None-Match`: `unchanged` asks for 304; a version that is not the wanted one is refused. */
export function checkConditions(c: Context, tag: string): "unchanged" | "send" {
  const [ifMatch, ifNoneMatch] = [c.req.header("if-match"), c.req.header("if-none-match")];
  if (ifMatch !== undefined && !namesTag(ifMatch, tag, { weak: false })) {
    throw new Refusal("PRECONDITION_FAILED", "this is another version");
  }
  const isKnown = ifNoneMatch !== undefined && namesTag(ifNoneMatch, tag, { weak: true });
  return isKnown ? "unchanged" : "send";
}
