/**
 * The contract of `opfsStore`, on a page and the short one in a worker: the same bundle is both.
 *
 * @module
 */
import { buildLtx, type TestKit, testObjectStore } from "pagestream/testing";
import {
  bytesFollowTarget,
  follow,
  type FollowTarget,
  type ObjectStore,
  opfsFollowTarget,
} from "pagestream";
import { opfsStore } from "pagestream/transports/opfs";
import { type ContractResult, runContract } from "../../helpers/run-contract.ts";
import { shortContract } from "../../runtime/short-contract.ts";

/** What the test calls in the page. */
export interface OpfsApi {
  /** Runs the contract here. */
  contract(): Promise<ContractResult[]>;
  /** Runs the short contract in a worker. */
  contractInWorker(): Promise<ContractResult[]>;
  /** Of ten writers, half of them on a page and half in a worker, how many created an object, in each of some rounds. */
  race(rounds: number): Promise<number[]>;
  /** Begins to write an object and never ends. */
  hang(key: string): Promise<void>;
  /** Writes an object of one byte. */
  put(key: string): Promise<void>;
  /**
   * Follows a replica in this file system into a copy in it, in a worker of its own, by some commits more. With `hang` the
   * last step is never completed, and the worker is ended in the middle of it.
   */
  follow(commits: number, hang: boolean): Promise<Followed>;
  /** Names in the folder of the store, temporary ones too. */
  files(): Promise<string[]>;
  /** Keys that the store lists. */
  keys(): Promise<string[]>;
}

/** What a worker that followed tells. */
export interface Followed {
  readonly position: string;
  /** Whether the copy is what a copy in memory is. */
  readonly same: boolean;
  /** What a second follower of the same copy is told meanwhile. */
  readonly second: string;
}

const root = await navigator.storage.getDirectory();
const store: ObjectStore = opfsStore(root, { path: "replica/ünder" });

async function create(key: string, writers: number): Promise<number> {
  const results = await Promise.allSettled(
    Array.from({ length: writers }, (_, i) =>
      // By another way to the same folder, which must not make another lock.
      (i % 2 === 0 ? Promise.resolve(store) : otherWay()).then((each) =>
        each.put(key, new Uint8Array(100).fill(i), { ifNoneMatch: "*" }),
      ),
    ),
  );
  return results.filter(({ status }) => status === "fulfilled").length;
}

async function otherWay(): Promise<ObjectStore> {
  return opfsStore(await root.getDirectoryHandle("replica", { create: true }), { path: "ünder" });
}

const contract = (part = (kit: TestKit): TestKit => kit): Promise<ContractResult[]> =>
  runContract((kit) => {
    const sizes = { manyObjects: 20, largeSize: 3_300_000 };
    testObjectStore(() => store, { ...part(kit), timeFrom: "header", ...sizes });
  });

/** Makes commits and follows them. The copy goes on from where an earlier one left it. */
async function followHere(commits: number, hang: boolean): Promise<Followed> {
  const replica = opfsStore(root, { path: "followed" });
  const copy = opfsFollowTarget(root, "copy.db");
  const follower = await follow(replica, copy, { intervalMs: 3_600_000 }).catch(() => undefined);
  let txid = follower?.position ?? 0n;
  const commit = async (): Promise<void> => {
    txid++;
    // The page size, 4096, where SQLite keeps it.
    const first = new Uint8Array(4096).fill(Number(txid));
    first.set([16, 0], 16);
    const pages = { 1: first, [2 + (Number(txid) % 5)]: { seed: 7 } };
    const all = { 1: first, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6 };
    const spec = { minTxid: txid, pages: txid === 1n ? all : pages, commit: 6 };
    const { bytes, name } = buildLtx(spec);
    await replica.put(`ltx/0/${name}`, bytes);
  };
  if (follower === undefined) await commit();
  const hanging: FollowTarget = {
    ...copy,
    get state() {
      return copy.state;
    },
    begin: async (next) => ({
      ...(await copy.begin(next)),
      commit: () => new Promise<void>(() => self.postMessage("hangs")),
    }),
  };
  await using last = follower ?? (await follow(replica, copy, { intervalMs: 3_600_000 }));
  for (let i = 0; i < commits; i++) {
    await commit();
    await last.poll();
  }
  const memory = bytesFollowTarget();
  await using other = await follow(replica, memory);
  const same = copy.read().every((byte, i) => byte === memory.bytes[i]);
  const second = await follow(replica, opfsFollowTarget(root, "copy.db")).then(
    () => "followed",
    (error: unknown) => (error as { readonly code: string }).code,
  );
  if (hang) {
    await last.close();
    const stuck = await follow(replica, hanging, { intervalMs: 3_600_000 });
    await commit();
    await stuck.poll();
  }
  return { position: String(other.position), same, second };
}

if (typeof document === "undefined") {
  self.addEventListener("message", ({ data }: MessageEvent<string | [number, boolean]>) => {
    const work: Promise<unknown> = Array.isArray(data)
      ? followHere(...data)
      : data === ""
        ? contract(shortContract)
        : create(data, 5);
    void work.then((result) => self.postMessage(result));
  });
  self.postMessage("ready");
} else {
  const worker = new Worker(new URL(import.meta.url), { type: "module" });
  const answer = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      worker.addEventListener("message", ({ data }) => resolve(data), { once: true });
      worker.addEventListener("error", ({ message }) => reject(new Error(message)), { once: true });
    });
  const ready = answer();
  const inWorker = async (message: string): Promise<unknown> => {
    await ready;
    const result = answer();
    worker.postMessage(message);
    return await result;
  };
  const api: OpfsApi = {
    contract: () => contract(),
    contractInWorker: async () => (await inWorker("")) as ContractResult[],
    async race(rounds) {
      const winners: number[] = [];
      for (let i = 0; i < rounds; i++) {
        const key = `race/${i}`;
        const [there, here] = await Promise.all([inWorker(key), create(key, 5)]);
        winners.push((there as number) + here);
      }
      return winners;
    },
    async follow(commits, hang) {
      const own = new Worker(new URL("main.js", import.meta.url), { type: "module" });
      const next = (): Promise<unknown> =>
        new Promise((resolve, reject) => {
          own.addEventListener("message", ({ data }) => resolve(data), { once: true });
          own.addEventListener("error", ({ message }) => reject(new Error(message)), {
            once: true,
          });
        });
      await next();
      const result = next();
      own.postMessage([commits, hang]);
      const followed = (await result) as Followed;
      own.terminate();
      return followed;
    },
    async hang(key) {
      async function* body(): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(1000);
        await new Promise(() => undefined);
      }
      void store.put(key, body());
      while (!(await api.files()).some((name) => name.endsWith(".tmp"))) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
    async put(key) {
      await store.put(key, new Uint8Array(1));
    },
    async files() {
      const names: string[] = [];
      const replica = await root.getDirectoryHandle("replica", { create: true });
      const folder = await replica.getDirectoryHandle("ünder", { create: true });
      for await (const name of folder.keys()) names.push(name);
      return names.sort();
    },
    async keys() {
      const keys: string[] = [];
      for await (const { key } of store.list()) keys.push(key);
      return keys;
    },
  };
  Object.assign(globalThis, { api });
}
