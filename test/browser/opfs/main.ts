/**
 * The contract of `opfsStore`, on a page and the short one in a worker: the same bundle is both.
 *
 * @module
 */
import { type TestKit, testObjectStore } from "pagestream/testing";
import type { ObjectStore } from "pagestream";
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
  /** Names in the folder of the store, temporary ones too. */
  files(): Promise<string[]>;
  /** Keys that the store lists. */
  keys(): Promise<string[]>;
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

if (typeof document === "undefined") {
  self.addEventListener("message", ({ data }: MessageEvent<string>) => {
    const work = data === "" ? contract(shortContract) : create(data, 5);
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
