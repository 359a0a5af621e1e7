/**
 * Finds out which conditions a server honours: some of the S3 family ignore them without an error, and a writer that
 * trusted them would overwrite another's history.
 *
 * @module
 */
import { isPagestreamError } from "../core/errors.ts";

/** What the object holds. */
const PROBE_BODY: Uint8Array<ArrayBuffer> = new TextEncoder().encode(
  "Pagestream tries here whether this store honours conditions on writes.\n",
);

/** A tag that no object has, in the form of an MD5. */
const WRONG_ETAG = '"00000000000000000000000000000000"';

/** How the store makes the requests that are tried, unchecked by its capabilities. Each settles like the method it is. */
export interface ProbeRequests {
  /** Creates the object only if it is missing. */
  readonly create: (body: Uint8Array<ArrayBuffer>) => Promise<unknown>;
  /** Replaces the object only if it is this version. */
  readonly replace?:
    | ((body: Uint8Array<ArrayBuffer>, ifMatch: string) => Promise<unknown>)
    | undefined;
  /** Creates the object, in the way of large ones, only if it is missing. */
  readonly createLarge?: ((body: Uint8Array<ArrayBuffer>) => Promise<unknown>) | undefined;
  /** Deletes the object only if it is this version. Tried last: a server that ignores the condition deletes it. */
  readonly remove?: ((ifMatch: string) => Promise<unknown>) | undefined;
}

/** Which conditions were honoured. */
export interface ProbedConditions {
  /** `ifNoneMatch: "*"`. */
  readonly conditionalPut: boolean;
  /** `ifMatch`. */
  readonly conditionalReplace: boolean;
  /** The same for large bodies. */
  readonly conditionalLarge: boolean;
  /** `ifMatch` of `deleteOne`. */
  readonly conditionalDelete: boolean;
}

/**
 * Tries each condition with a request that must be refused. A refusal for another reason than the condition (no
 * permission, an outage) is thrown: it proves nothing.
 */
export async function probeConditions(requests: ProbeRequests): Promise<ProbedConditions> {
  const { create, replace, createLarge, remove } = requests;
  const made = await honoured(() => create(PROBE_BODY));
  // Made just now, or overwritten: the second attempt tells.
  const conditionalPut = made || (await honoured(() => create(PROBE_BODY)));
  const tried = async (attempt: (() => Promise<unknown>) | undefined): Promise<boolean> =>
    conditionalPut && attempt !== undefined && (await honoured(attempt));
  return {
    conditionalPut,
    conditionalReplace: await tried(replace && (() => replace(PROBE_BODY, WRONG_ETAG))),
    conditionalLarge: await tried(createLarge && (() => createLarge(PROBE_BODY))),
    conditionalDelete: await tried(remove && (() => remove(WRONG_ETAG))),
  };
}

/** Whether a request that must be refused was; 501, "not implemented", is a refusal to take the condition at all. */
async function honoured(attempt: () => Promise<unknown>): Promise<boolean> {
  try {
    await attempt();
    return false;
  } catch (error) {
    if (isPagestreamError(error, "PRECONDITION_FAILED")) return true;
    if (isPagestreamError(error, "UNSUPPORTED")) return false;
    throw error;
  }
}
