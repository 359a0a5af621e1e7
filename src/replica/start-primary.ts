/**
 * The start of a replication.
 *
 * @module
 */
import type { CommitSource } from "../core/commit-source.ts";
import { InvalidArgumentError, throwIfAborted } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import { isRetryable } from "../core/retry.ts";
import { budgetedReplica } from "./budgeted-store.ts";
import type { StartEvent } from "./comparison.ts";
import { checkDurability } from "./durability.ts";
import type { EventTap } from "./event-reporter.ts";
import { memoryState } from "./local-state.ts";
import { Primary } from "./primary.ts";
import type { Replica } from "./replica.ts";
import type { ReplicateOptions, Replication } from "./replication.ts";
import { RequestBudget } from "./request-budget.ts";
import { Starting } from "./start-again.ts";

/** Starts replicating `source` into one replica or several. Resolves when it is known how to continue. */
export async function startPrimary(
  source: CommitSource,
  unbudgeted: Replica | readonly [Replica, ...Replica[]],
  options: ReplicateOptions & {
    readonly platform: Platform;
    /** What the caller has done for the start, told to whoever reads events first. */
    readonly announce?: readonly StartEvent[] | undefined;
    /** Shared with other databases. @default one of its own, where `requestsPerHour` is given */
    readonly budget?: RequestBudget | undefined;
    /** Told of every event. */
    readonly tap?: EventTap | undefined;
  },
): Promise<Replication> {
  const { platform, requestsPerHour } = options;
  const budget =
    options.budget ??
    (requestsPerHour === undefined
      ? undefined
      : new RequestBudget(platform.clock, requestsPerHour));
  const complete = { ...options, budget, state: options.state ?? memoryState() };
  const replicas = [unbudgeted].flat().map((replica) => budgetedReplica(replica, budget));
  const first = replicas[0] as Replica;
  // Where there are others one that does not answer is no reason not to start.
  const mustAsk = replicas.length === 1 && first.store.probe !== undefined;
  const prepare = async (signal: AbortSignal | undefined): Promise<void> => {
    if (mustAsk) await first.prepareToWrite({ signal });
  };
  const { startWithinMs, durability = "async" } = options;
  if (startWithinMs !== undefined && (durability !== "async" || !(startWithinMs >= 0))) {
    throw new InvalidArgumentError({
      operation: "replicate",
      object: source.name,
      what: "startWithinMs is a time from 0 on, and for durability async alone",
    });
  }
  // Nothing is awaited for nothing: a commit right after the call is one that came too early.
  if (startWithinMs === undefined && mustAsk) await prepare(options.signal);
  checkDurability(source, { replicas, state: complete.state, options: complete });
  if (startWithinMs !== undefined) {
    return await startSoon(source, replicas, { ...complete, startWithinMs, prepare });
  }
  const primary = new Primary(source, replicas, complete);
  try {
    await primary.start(options.announce, options.signal);
  } catch (error) {
    primary.detach();
    throw error;
  }
  return primary;
}

/** Waits for the start only so long; one that takes longer, for want of a store that answers, goes on by itself. */
async function startSoon(
  source: CommitSource,
  replicas: readonly Replica[],
  options: ConstructorParameters<typeof Primary>[2] & {
    readonly startWithinMs: number;
    readonly announce?: readonly StartEvent[] | undefined;
    readonly prepare: (signal: AbortSignal) => Promise<void>;
  },
): Promise<Replication> {
  const { platform, startWithinMs, announce, tap, signal } = options;
  const primary = new Primary(source, replicas, {
    ...options,
    signal: undefined,
    hurry: () => starting.hurry(),
    tap: {
      tell(event) {
        if (event.type === "closed") starting.end();
        tap?.tell(event);
      },
    },
  });
  const starting = new Starting(primary, {
    async start(attempt) {
      await options.prepare(attempt);
      await primary.start(announce, attempt);
    },
    name: source.name,
    platform,
  });
  const onAbort = (): void => starting.end();
  signal?.addEventListener("abort", onAbort, { once: true });
  const isAway = starting.attempt().then(
    () => false,
    (error: unknown) => {
      if (!isRetryable(error)) throw error;
      return true;
    },
  );
  let cancel: (() => void) | undefined;
  const late = new Promise<true>((resolve) => {
    cancel = platform.clock.schedule(() => resolve(true), startWithinMs);
  });
  try {
    throwIfAborted(signal, "replicate", source.name);
    if (await Promise.race([isAway, late])) {
      isAway.catch(() => undefined);
      void starting.run();
    }
    return primary;
  } catch (error) {
    starting.end();
    isAway.catch(() => undefined);
    primary.detach();
    throw error;
  } finally {
    cancel?.();
    signal?.removeEventListener("abort", onAbort);
  }
}
