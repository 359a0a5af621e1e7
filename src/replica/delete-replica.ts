/**
 * Removes a replica for good.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { PROBE_KEY } from "../transports/object-store.ts";
import { ADOPTED_KEY } from "./adopted.ts";
import { LEASE_KEY } from "./lease-object.ts";
import { POINTER_KEY } from "./pointer.ts";
import { type Replica } from "./replica.ts";

/** What was removed. */
export interface DeletedReplica {
  /** Number of LTX files. */
  readonly files: number;
  /** Their size in bytes. */
  readonly bytes: number;
}

/**
 * Removes every LTX file of a replica and what lies beside them, such as its lease, and nothing else in the store. `confirm`
 * must equal the description of the store, so that no variable holding the wrong store can empty it.
 */
export async function deleteReplicaFiles(
  replica: Replica,
  options: { readonly confirm: string; readonly signal?: AbortSignal | undefined },
): Promise<DeletedReplica> {
  const { confirm, signal } = options;
  if (confirm !== replica.description) {
    throw new InvalidArgumentError({
      operation: "delete",
      object: replica.description,
      what: `confirm is ${JSON.stringify(confirm)}`,
      next: `Pass confirm: ${JSON.stringify(replica.description)} to delete all of it`,
    });
  }
  const files = (await replica.levels({ signal })).flat();
  await replica.remove(files, { signal });
  const { store } = replica;
  const beside = [LEASE_KEY, POINTER_KEY, ADOPTED_KEY];
  if (store.probe !== undefined) beside.push(PROBE_KEY);
  const what = { operation: "delete", object: beside.join(", "), signal };
  await replica.retry(what, () => store.delete(beside, { signal }));
  return { files: files.length, bytes: files.reduce((sum, f) => sum + f.size, 0) };
}
