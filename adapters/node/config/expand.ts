/**
 * Variables of the environment in the text of a configuration, as Go's `os.Expand` replaces them; `$$` is a dollar.
 *
 * @module
 */

/** Variables of an environment, by name. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** A text with its variables replaced. */
export interface ExpandedText {
  readonly text: string;
  /** Offsets in the original text of what became nothing, as no variable of that name is set. */
  readonly unset: readonly number[];
  /** The offset in the original text that an offset in `text` comes from. */
  origin(offset: number): number;
}

/** A text as it is. */
export function unexpanded(text: string): ExpandedText {
  return { text, unset: [], origin: (offset) => offset };
}

/**
 * Replaces `$NAME` and `${NAME}`; a variable that is not set becomes nothing, and `$PID` the id of this process. As Go
 * does, `$` and one of `*#@!?-0…9` counts as a variable too, and a dollar that no name follows stays.
 */
export function expandVariables(source: string, variables: Variables): ExpandedText {
  const reference = /\$(?:\$|\{([^}\n]*)\}|([A-Za-z_]\w*)|([*#@!?\-0-9]))/g;
  const unset: number[] = [];
  /** Where a piece of the result begins, and where its original does. */
  const pieces: { readonly at: number; readonly from: number }[] = [{ at: 0, from: 0 }];
  let text = "";
  let end = 0;
  for (const match of source.matchAll(reference)) {
    const [whole, braced, name, special] = match;
    const value = whole === "$$" ? "$" : valueOf(braced ?? name ?? special ?? "", variables);
    if (value === undefined) unset.push(match.index);
    text += source.slice(end, match.index);
    pieces.push({ at: text.length, from: match.index });
    text += value ?? "";
    end = match.index + whole.length;
    pieces.push({ at: text.length, from: end });
  }
  text += source.slice(end);
  return { text, unset, origin: (offset) => originOf(offset, pieces) };
}

function valueOf(name: string, variables: Variables): string | undefined {
  return name === "PID" ? String(process.pid) : variables[name];
}

/** Pieces come in pairs: what was put in, of which every letter comes from one place, and what was there. */
function originOf(
  offset: number,
  pieces: readonly { readonly at: number; readonly from: number }[],
): number {
  const index = pieces.findLastIndex(({ at }) => at <= offset);
  const { at, from } = pieces[index] as { readonly at: number; readonly from: number };
  return index % 2 === 1 ? from : from + offset - at;
}
