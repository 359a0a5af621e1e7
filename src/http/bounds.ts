/**
 * Options that bound something, looked at before they are used: one that is no number would bound nothing.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";

/** The longest time that timers of the runtimes wait; past it they do not wait at all. */
const MAX_MS = 2 ** 31 - 1;

/**
 * Throws `InvalidArgumentError` for a bound that is not a whole number of at least 1, or a time of more milliseconds than can be
 * waited. `object` is what is made with them.
 */
export function checkBounds(
  object: string,
  bounds: Readonly<Record<string, number | undefined>>,
): void {
  for (const [name, value] of Object.entries(bounds)) {
    const most = /(^m|M)s$/.test(name) ? MAX_MS : Number.MAX_SAFE_INTEGER;
    if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= most)) continue;
    throw new InvalidArgumentError({
      operation: "make",
      object,
      what: `${name} is ${value}, not a whole number from 1 to ${most}`,
    });
  }
}
