/**
 * Shell patterns as Go's `filepath.Match` has them: `*`, `?`, `[a-z]`, `[^a-z]` and a backslash before a character that
 * stands for itself. Unlike in a shell, `*` matches a leading dot.
 *
 * @module
 */

/** The expression that matches what a pattern does; undefined for a pattern that is malformed. */
export function patternExpression(pattern: string): RegExp | undefined {
  let expression = "";
  for (let at = 0; at < pattern.length;) {
    const part = /^(?:\*+|\?|\\(.)|\[(\^?)((?:\\.|[^\]\\])+)\]|[^\\[*?])/su.exec(pattern.slice(at));
    if (part === null) return undefined;
    const [whole, escaped, negated, set] = part;
    if (whole.startsWith("*")) expression += "[^/]*";
    else if (whole === "?") expression += "[^/]";
    else if (set !== undefined) expression += `[${negated}${set}]`;
    else expression += (escaped ?? whole).replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
    at += whole.length;
  }
  try {
    return new RegExp(`^${expression}$`, "su");
  } catch {
    return undefined;
  }
}
