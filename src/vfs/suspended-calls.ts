/**
 * One call at a time: two suspended calls into one wasm instance would share its one stack.
 *
 * @module
 */

/** The last call of each owner. */
const last = new WeakMap<object, Promise<unknown>>();

/** Runs `call` once every earlier one of the same owner has ended, however it ended. */
export function oneAtATime<T>(owner: object, call: () => T | Promise<T>): Promise<T> {
  const earlier = last.get(owner) ?? Promise.resolve();
  const mine = earlier.then(call);
  last.set(
    owner,
    mine.catch(() => {}),
  );
  return mine;
}
