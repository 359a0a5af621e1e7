/**
 * Litestream's SQL functions and pragmas, by which SQL asks where in the history of a replica it is, and goes elsewhere.
 *
 * @module
 */
import { InvalidArgumentError, UnsupportedError } from "../core/errors.ts";
import type { PageView } from "../core/page-source.ts";
import { formatTxid } from "../ltx/file-name.ts";
import { type ReplicaSession, type SessionTarget, unplanned } from "./replica-session.ts";

const PREFIX = "litestream_";

type Answer = (session: ReplicaSession<PageView>) => string;

/** What can be asked, by name. */
const READABLE: Readonly<Record<string, Answer>> = {
  litestream_txid: ({ view }) => formatTxid(view.txid),
  litestream_time: (session) => timeOf(session),
  litestream_lag: (session) => String(lagOf(session)),
  litestream_hydration_progress: ({ hydration }) =>
    String(Math.floor((hydration()?.percent ?? 0) * 10) / 10),
  litestream_hydration_file: ({ hydration }) => hydration()?.path ?? "",
  litestream_write_enabled: () => "0",
};

/**
 * The answer to a PRAGMA; undefined for one that is none of these. Throws what its reader is to be told.
 */
export function answerPragma<V extends PageView>(
  session: ReplicaSession<V>,
  pragma: string,
  value: string | undefined,
): string | undefined {
  const name = pragma.toLowerCase();
  if (!name.startsWith(PREFIX)) return undefined;
  const answer = READABLE[name];
  if (answer === undefined) {
    throw new InvalidArgumentError({
      operation: "run",
      object: `PRAGMA ${name}`,
      what: "there is no such pragma",
      next: `Use one of ${Object.keys(READABLE).join(", ")}`,
    });
  }
  const readable = session as unknown as ReplicaSession<PageView>;
  if (value === undefined) return answer(readable);
  if (name === "litestream_time") {
    setTime(session, value);
    return answer(readable);
  }
  throw new InvalidArgumentError({
    operation: "set",
    object: `PRAGMA ${name}`,
    what: "it can only be read: a replica that is read cannot be changed",
  });
}

/** A function of SQL. */
export interface ReplicaFunction {
  readonly name: string;
  /** How many arguments it has: none, or one text. One that has an argument cannot be called by a view or a trigger. */
  readonly arity: 0 | 1;
  /** What it answers; throws what its caller is to be told. `argument` is undefined where that is no text. */
  readonly run: (session: ReplicaSession, argument: string | undefined) => string | number;
}

/** Litestream's functions. */
export const FUNCTIONS: readonly ReplicaFunction[] = [
  { name: "litestream_txid", arity: 0, run: ({ view }) => formatTxid(view.txid) },
  { name: "litestream_time", arity: 0, run: timeOf },
  { name: "litestream_lag", arity: 0, run: lagOf },
  {
    name: "litestream_set_time",
    arity: 1,
    run(session, argument) {
      setTime(session, argument);
      return timeOf(session);
    },
  },
];

/** The time that was asked for, else that of the state that is seen. */
function timeOf(session: ReplicaSession<PageView>): string {
  return session.label ?? session.view.time.toISOString();
}

/** Whole seconds since the state that is seen came to be. */
function lagOf(session: ReplicaSession<PageView>): number {
  return Math.max(0, Math.floor((session.now() - session.view.time.getTime()) / 1000));
}

function setTime<V extends PageView>(session: ReplicaSession<V>, value: string | undefined): void {
  const text = value?.trim() ?? "";
  if (text === "") {
    throw new InvalidArgumentError({
      operation: "set",
      object: "litestream_time",
      what: "there is no time given",
      next: "Write it like 2026-11-20T12:00:00Z or 5 minutes ago, or LATEST",
    });
  }
  refuseTravel(session, `the state of ${text}`);
  const isLatest = text.toLowerCase() === "latest";
  const target: SessionTarget = isLatest ? { latest: true } : { timestamp: text };
  const { found, view } = session.planned(target);
  if (!found) throw unplanned(`the state of ${text}`);
  session.fix(view, isLatest ? undefined : text);
}

/** Refuses to look at another state where that is not allowed, or would change what an open transaction sees. */
export function refuseTravel<V extends PageView>(session: ReplicaSession<V>, object: string): void {
  if (!session.mayTravel) {
    throw new UnsupportedError({
      operation: "look at",
      object,
      what: "statements may change nothing here",
      next: "Use setTime() of the replica database, or open it with readOnly: false",
    });
  }
  refuseInTransaction(session, object);
}

/** Refuses what would change the state that an open transaction sees. */
export function refuseInTransaction<V extends PageView>(
  session: ReplicaSession<V>,
  object: string,
): void {
  const [main] = session.files;
  if (!session.isInTransaction() && main?.pinned === undefined) return;
  throw new UnsupportedError({
    operation: "look at",
    object,
    what: "a read transaction is open, which sees one state to its end",
    next: "End the transaction first",
  });
}
