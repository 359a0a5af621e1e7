/**
 * The query of a replica URL: by names that are known, each with its aliases, and an error for all others.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { similarName } from "./suggest.ts";

/** Parameters that are taken one after the other. */
export class UrlQuery {
  readonly #parameters: URLSearchParams;
  readonly #shown: string;
  readonly #form: string;
  readonly #hidden: boolean;
  readonly #known = new Set<string>();

  /**
   * @param search the query without its question mark
   * @param context the URL for messages, its form, and whether names may be parts of a password and must not be shown
   */
  constructor(
    search: string,
    context: { readonly shown: string; readonly form: string; readonly hidden: boolean },
  ) {
    this.#parameters = new URLSearchParams(search);
    this.#shown = context.shown;
    this.#form = context.form;
    this.#hidden = context.hidden;
  }

  /** The value of the first of these names that is there; an empty one counts as missing. */
  text(...names: readonly string[]): string | undefined {
    for (const name of names) this.#known.add(name);
    const name = names.find((n) => this.#parameters.get(n));
    return name === undefined ? undefined : (this.#parameters.get(name) as string);
  }

  /** The same for a boolean; any text that is not a way to write yes is a no, as in Litestream. */
  boolean(...names: readonly string[]): boolean | undefined {
    const text = this.text(...names);
    return text === undefined ? undefined : /^(?:true|1|t|yes)$/i.test(text);
  }

  /** The same for an integer of at least 1. */
  integer(...names: readonly string[]): number | undefined {
    const text = this.text(...names);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\+?\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
    throw this.#refused(names[0] as string, "must be a whole number of at least 1");
  }

  /** Refuses the parameters nobody took. `instead` tells what to do about those that Litestream knows elsewhere. */
  end(instead: Readonly<Record<string, string>> = {}): void {
    for (const name of this.#parameters.keys()) {
      if (this.#known.has(name)) continue;
      const other = similarName(name, this.#known);
      const next = instead[name] ?? (other === undefined ? undefined : `Did you mean ${other}?`);
      const what =
        name in instead ? `is not read from a URL in the form ${this.#form}` : "is not known here";
      throw this.#refused(name, what, next?.replace(/\?$/, ""));
    }
  }

  #refused(name: string, what: string, next?: string): InvalidArgumentError {
    const parameter = this.#hidden
      ? "a parameter"
      : `the parameter ${JSON.stringify(name.slice(0, 80))}`;
    const object = this.#shown;
    return new InvalidArgumentError({
      operation: "use",
      object,
      what: `${parameter} ${what}`,
      next,
    });
  }
}
