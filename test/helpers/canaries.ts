/**
 * Finds secrets where none may be: in errors, causes, events, inspected objects and printed lines, in every coding.
 *
 * @module
 */
import { inspect } from "node:util";

/** A secret that is easy to find again. The characters are those that codings change. */
export function canary(name: string): string {
  return `cnry+${name}/=&?%40:secret`;
}

/** The forms in which a secret could show. */
function forms(secret: string): string[] {
  const utf8 = Buffer.from(secret);
  const encodings = ["base64", "base64url", "hex"] as const;
  return [
    secret,
    encodeURIComponent(secret),
    encodeURI(secret),
    new URLSearchParams([["x", secret]]).toString().slice(2),
    JSON.stringify(secret).slice(1, -1),
    ...encodings.map((encoding) => utf8.toString(encoding).replace(/=+$/, "")),
    // Inside a longer text, as `user:password` in Basic, only two of three alignments of base64 keep these letters.
    ...["a", "ab"].map((lead) =>
      Buffer.from(lead + secret)
        .toString("base64")
        .slice(4, -4),
    ),
  ];
}

/** The secrets that show in a value: an error with all it drags along, an event, a store, a text. */
export function leaks(value: unknown, secrets: readonly string[]): string[] {
  const texts = [textOf(value)];
  for (let each = value, depth = 0; each instanceof Error && depth < 10; depth++) {
    texts.push(each.message, each.stack ?? "", textOf({ ...each }));
    each = each.cause;
  }
  const all = texts.join("\n");
  return secrets.filter((secret) => forms(secret).some((form) => all.includes(form)));
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return inspect(value, {
    depth: 20,
    showHidden: true,
    getters: true,
    maxArrayLength: null,
    maxStringLength: null,
  });
}
