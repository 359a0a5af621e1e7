/**
 * A process that writes a replica as it is told, and stands still at the step it is told: the child of `writer.ts`.
 *
 * @module
 */
import { registerHooks } from "node:module";
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { ReplicatedDatabase } from "../../src/api/open-replicated.ts";
import type { Platform } from "../../src/core/platform.ts";
import type { Fence } from "../../src/replica/fence.ts";
import type { LtxFileInfo } from "../../src/replica/replica.ts";
import type { ReplicaWriter } from "../../src/replica/writer.ts";
import type { ObjectStore } from "../../src/transports/object-store.ts";

/** Where the replica is. */
export type Place =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "s3"; readonly options: Readonly<Record<string, unknown>> };

/** What a process does when it is told. */
export interface WriterCommands {
  /** Opens a database in memory, restored from the replica where that holds one. Returns its rows. */
  open(options: {
    readonly place: Place;
    readonly who: string;
    readonly lease?: boolean;
    readonly takeOver?: boolean;
    readonly l0RetentionMs?: number;
    /** Compacts and removes by itself, at short intervals. */
    readonly maintains?: boolean;
  }): Promise<WrittenState>;
  /** Commits a row and uploads it. */
  write(): Promise<WrittenState>;
  /** Commits a row, without waiting for anything. */
  commit(): Promise<WrittenState>;
  /** Takes the replica over after a conflict. */
  takeOver(): Promise<WrittenState>;
  /** Compacts all L0 files into level 1. */
  compact(): Promise<void>;
  /** Removes the L0 files that level 1 covers, but for the newest. */
  retain(): Promise<void>;
  /** At the next call of `operation` on a key that contains `key`, tells the parent and waits: before, or after it was made. */
  stopAt(step: Step): Promise<void>;
  /** Loses the answers of the next `count` calls of `operation`. */
  loseAnswers(what: { readonly operation: StepOperation; readonly count: number }): Promise<void>;
  /** Lets both clocks of the engine jump forward. */
  age(ms: number): Promise<void>;
  /** Resolves with the type of the first event that is one of these; those before the call count, once. */
  event(types: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

/** Calls at which a process can stand still. */
export type StepOperation = "put" | "delete";

/** Where a process stands still. */
export interface Step {
  readonly operation: StepOperation;
  /** Part of the key. */
  readonly key: string;
  readonly when: "before" | "after";
}

/** What the database holds, and the TXID it was last uploaded as. */
export interface WrittenState {
  readonly txid: string;
  /** `who:number` of each row, in order. */
  readonly rows: readonly string[];
}

/** What a process tells its parent. */
export type FromWriter =
  | { readonly type: "ready" }
  /** It stands still until it gets `go`. */
  | { readonly type: "at" }
  | { readonly type: "done"; readonly id: number; readonly result: unknown }
  | {
      readonly type: "failed";
      readonly id: number;
      readonly code: string;
      readonly message: string;
    };

/** What the parent tells a process. */
export type ToWriter =
  | { readonly type: "go" }
  | {
      readonly type: "call";
      readonly id: number;
      readonly command: keyof WriterCommands;
      readonly argument: unknown;
    };

const SOURCES: Readonly<Record<string, string>> = {
  pagestream: "../../src/api/index.ts",
  "pagestream/files-kit": "../../adapters/files/index.ts",
  "pagestream/ltx": "../../src/ltx/index.ts",
  "pagestream/transports/store-kit": "../../src/transports/store-kit.ts",
};

if (process.send !== undefined) {
  registerHooks({
    resolve(specifier, context, next) {
      const source = SOURCES[specifier];
      return source === undefined
        ? next(specifier, context)
        : { url: new URL(source, import.meta.url).href, shortCircuit: true };
    },
  });
  const modules = {
    ...(await import("../../src/api/open-replicated.ts")),
    ...(await import("../../src/replica/compactor.ts")),
    ...(await import("../../src/replica/fence.ts")),
    ...(await import("../../src/replica/replica.ts")),
    ...(await import("../../src/replica/writer.ts")),
    ...(await import("../../src/transports/errors.ts")),
    ...(await import("../../src/transports/s3.ts")),
    ...(await import("../../src/transports/web-platform.ts")),
    ...(await import("../../adapters/files/file-store.ts")),
  };
  const sqlite3 = await (await import("@sqlite.org/sqlite-wasm")).default();
  const tell = (message: FromWriter): void => void process.send?.(message);
  const commands = newCommands({ modules, sqlite3, at: () => tell({ type: "at" }) });
  process.on("message", (message: ToWriter) => {
    if (message.type === "go") return void commands.go();
    const { id, command, argument } = message;
    commands[command](argument as never).then(
      (result: unknown) => tell({ type: "done", id, result }),
      (error: unknown) => {
        const { code = "", message: text } = error as Error & { readonly code?: string };
        tell({ type: "failed", id, code, message: text });
      },
    );
  });
  tell({ type: "ready" });
}

type Modules = typeof import("../../src/api/open-replicated.ts") &
  typeof import("../../src/replica/compactor.ts") &
  typeof import("../../src/replica/fence.ts") &
  typeof import("../../src/replica/replica.ts") &
  typeof import("../../src/replica/writer.ts") &
  typeof import("../../src/transports/errors.ts") &
  typeof import("../../src/transports/s3.ts") &
  typeof import("../../src/transports/web-platform.ts") &
  typeof import("../../adapters/files/file-store.ts");

function newCommands(tools: {
  readonly modules: Modules;
  readonly sqlite3: Sqlite3Static;
  readonly at: () => void;
}): WriterCommands & { readonly go: () => void } {
  const { modules, sqlite3, at } = tools;
  let opened: ReplicatedDatabase<Sqlite3Static> | undefined;
  let writer: ReplicaWriter | undefined;
  let fence: Fence | undefined;
  let who = "";
  let events: string[] = [];
  let step: Step | undefined;
  let lost: { operation: StepOperation; count: number } | undefined;
  let go = (): void => {};
  let heard = (): void => {};

  let aheadMs = 0;
  const { clock } = modules.webPlatform;
  const platform: Platform = {
    ...modules.webPlatform,
    clock: {
      ...clock,
      now: () => clock.now() + aheadMs,
      monotonic: () => clock.monotonic() + aheadMs,
    },
  };

  const stand = async (now: Step): Promise<void> => {
    if (step === undefined || step.operation !== now.operation || step.when !== now.when) return;
    if (!now.key.includes(step.key)) return;
    step = undefined;
    const gone = new Promise<void>((resolve) => (go = resolve));
    at();
    await gone;
  };
  const watched = async <T>(
    operation: StepOperation,
    key: string,
    call: () => Promise<T>,
  ): Promise<T> => {
    await stand({ operation, key, when: "before" });
    const result = await call();
    await stand({ operation, key, when: "after" });
    if (lost?.operation === operation && lost.count-- > 0) {
      const what = { operation, object: key, what: "the answer was lost" };
      throw new modules.StoreError(what, { retryable: true });
    }
    return result;
  };
  const storeAt = (place: Place): ObjectStore => {
    const inner =
      place.kind === "file"
        ? modules.fileStore(place.path)
        : modules.s3Store(place.options as never);
    const over: Pick<ObjectStore, "put" | "delete"> = {
      put: (key, body, options) => watched("put", key, () => inner.put(key, body, options)),
      delete: (keys, options) =>
        watched("delete", keys.join(" "), () => inner.delete(keys, options)),
    };
    // What a store can do may become known only later.
    return Object.assign(Object.create(inner) as ObjectStore, over);
  };
  const database = (): ReplicatedDatabase<Sqlite3Static> => {
    if (opened === undefined) throw new Error("no database is open");
    return opened;
  };
  const state = (): WrittenState => {
    const { db, replication } = database();
    const rows = db.selectValues("SELECT who || ':' || n FROM row ORDER BY id") as string[];
    return { txid: String(replication.position.replicated), rows };
  };
  /** What maintenance sees, with a proof as young as the listing. */
  const levelsOf = async (by: ReplicaWriter): Promise<LtxFileInfo[][]> => {
    fence?.begin();
    await fence?.prove(undefined);
    return await by.replica.levels();
  };
  const maintainer = (): ReplicaWriter => {
    if (writer === undefined) throw new Error("no database is open");
    return writer;
  };
  const insert = (): void => {
    const body = "hex(zeroblob(1500))";
    database().db.exec({
      sql: `INSERT INTO row(who, n, body) SELECT ?1, ifnull(max(n), 0) + 1,
            replace(${body}, '00', ?1 || (ifnull(max(n), 0) + 1)) FROM row`,
      bind: [who],
    });
  };

  return {
    go: () => go(),
    async open(options) {
      const { place, lease, takeOver, l0RetentionMs, maintains = false } = options;
      who = options.who;
      const store = storeAt(place);
      opened = await modules.openReplicated({
        sqlite3,
        path: `/${who}-${process.hrtime.bigint()}.db`,
        replica: store,
        lease,
        takeOver,
        l0RetentionMs,
        owner: who,
        platform,
        levels: maintains ? [{ intervalMs: 1_000 }] : [],
        l0RetentionCheckMs: 50,
        groupMs: 0,
      });
      const { replication } = opened;
      const seen: string[] = [];
      events = seen;
      void (async () => {
        for await (const { type } of replication.events) {
          seen.push(type);
          heard();
        }
      })();
      const replica = modules.openReplica(store, { platform: modules.webPlatform });
      fence = new modules.Fence({ replica, l0RetentionMs });
      writer = modules.fencedWriter({ replica, fence });
      opened.db.exec("CREATE TABLE IF NOT EXISTS row(id INTEGER PRIMARY KEY, who, n, body)");
      await replication.flush();
      return state();
    },
    async write() {
      insert();
      await database().replication.flush();
      return state();
    },
    async commit() {
      insert();
      return state();
    },
    async takeOver() {
      await database().replication.takeOver();
      await database().replication.flush();
      return state();
    },
    async compact() {
      const by = maintainer();
      const levels = await levelsOf(by);
      const [sources = [], target = []] = levels;
      await modules.compactLevel(1, {
        writer: by,
        files: { target, sources, snapshots: levels[9] ?? [] },
      });
    },
    async retain() {
      const by = maintainer();
      const [level0 = [], level1 = []] = await levelsOf(by);
      const covered = level1.at(-1)?.maxTxid ?? 0n;
      const newest = level0.at(-1);
      await by.remove(level0.filter((f) => f !== newest && f.maxTxid <= covered));
    },
    async stopAt(next) {
      step = next;
    },
    async loseAnswers(next) {
      lost = { ...next };
    },
    async age(ms) {
      aheadMs += ms;
    },
    async event(types) {
      for (;;) {
        const at = events.findIndex((type) => types.includes(type));
        if (at >= 0) return events.splice(0, at + 1).at(-1) as string;
        await new Promise<void>((resolve) => (heard = resolve));
      }
    },
    async close() {
      const closing = opened;
      opened = undefined;
      step = undefined;
      lost = undefined;
      await closing?.close({ deadlineMs: 5_000 });
    },
  };
}
