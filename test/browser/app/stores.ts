/**
 * Holds the stores over the web to their contract, on a page or in a worker, wherever this script is loaded.
 *
 * @module
 */
import { type ContractResult, runContract } from "../../helpers/run-contract.ts";
import { type WebAddresses, webStores } from "../../runtime/web-stores.ts";

/** What is asked of the script. */
export interface StoresRequest {
  readonly addresses: WebAddresses;
  readonly name: string;
  readonly path: string;
}

async function run({ addresses, name, path }: StoresRequest): Promise<ContractResult[]> {
  const store = webStores(addresses).find((each) => each.name === name);
  if (store === undefined) throw new Error(`no store ${name}`);
  return await runContract((kit) => store.register(kit, path));
}

/** What the test calls on the page. */
export interface StoresApi {
  onPage(request: StoresRequest): Promise<ContractResult[]>;
  inWorker(request: StoresRequest): Promise<ContractResult[]>;
}

if (typeof document === "undefined") {
  addEventListener("message", ({ data }: MessageEvent<StoresRequest>) => {
    void run(data).then((results) => postMessage(results));
  });
} else {
  const api: StoresApi = {
    onPage: run,
    inWorker(request) {
      const worker = new Worker(import.meta.url, { type: "module" });
      return new Promise((resolve, reject) => {
        worker.addEventListener("error", ({ message }) => reject(new Error(message)));
        worker.addEventListener("message", ({ data }: MessageEvent<ContractResult[]>) => {
          worker.terminate();
          resolve(data);
        });
        worker.postMessage(request);
      });
    },
  };
  Object.assign(globalThis, { stores: api });
}
