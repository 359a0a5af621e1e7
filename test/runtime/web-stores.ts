/**
 * Stores over the web on real servers, in any runtime: the servers run elsewhere and are known by their addresses. The
 * contract is the short one; `test/stores` holds the stores to the whole.
 *
 * @module
 */
import { type ObjectStore, StoreError, UnsupportedError } from "pagestream";
import { type TestKit, testObjectStore, testReadableStore } from "pagestream/testing";
import { azureStore } from "pagestream/transports/azure";
import { encryptedStore } from "pagestream/transports/encrypted";
import { gcsStore } from "pagestream/transports/gcs";
import { natsStore } from "pagestream/transports/nats";
import { s3Store } from "pagestream/transports/s3";
import { httpStore } from "pagestream/transports/http";
import { memoryStore } from "pagestream/transports/memory";
import { webdavStore } from "pagestream/transports/webdav";
import { shortContract } from "./short-contract.ts";

/** Where servers answer and what they let in, by the name of the store. */
export type WebAddresses = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** A store to hold to the contract. */
export interface WebStore {
  readonly name: string;
  /** Registers the contract for keys below a path of the caller's own. */
  readonly register: (kit: TestKit, path: string) => void;
}

const MIB = 1024 * 1024;

/** The stores that have an address or need none, each with sizes as small as its parts and pages allow. */
export function webStores(addresses: WebAddresses): WebStore[] {
  const of = (name: string): Readonly<Record<string, string>> & Place => addresses[name] as never;
  const webdav = (path: string): ObjectStore => {
    const { endpoint, username, password } = of("webdav");
    return webdavStore({ url: endpoint, username, password, path });
  };
  const all: readonly WebStore[] = [
    {
      name: "s3",
      register(kit, path) {
        const { endpoint, bucket, accessKeyId = "", secretAccessKey = "" } = of("s3");
        const credentials = { accessKeyId, secretAccessKey };
        const store = s3Store({ endpoint, bucket, path, credentials, pageSize: 10 });
        const sizes = { largeSize: 5 * MIB + 1000, manyObjects: 21 };
        testObjectStore(() => probed(store), { ...shortContract(kit), name: "s3 store", ...sizes });
      },
    },
    {
      name: "azure",
      register(kit, path) {
        const { endpoint, container, accountName, accountKey } = of("azure");
        const account = { endpoint, container, accountName, accountKey };
        const store = azureStore({ ...account, path, blockSize: MIB, pageSize: 10 });
        const sizes = { largeSize: 2 * MIB + 1000, manyObjects: 21 };
        testObjectStore(() => store, { ...shortContract(kit), name: "azure store", ...sizes });
      },
    },
    {
      name: "gcs",
      register(kit, path) {
        const { endpoint, bucket } = of("gcs");
        const store = emulated(gcsStore({ endpoint, bucket, path, pageSize: 10 }));
        const sizes = { largeSize: 2 * MIB, manyObjects: 21 };
        testObjectStore(() => store, { ...shortContract(kit), name: "gcs store", ...sizes });
      },
    },
    {
      name: "webdav",
      register(kit, path) {
        const store = webdav(path);
        const sizes = { largeSize: 2 * MIB, manyObjects: 21 };
        const server = { timeFrom: "header" } as const;
        testObjectStore(() => probed(store), {
          ...shortContract(kit),
          name: "webdav store",
          ...sizes,
          ...server,
        });
      },
    },
    {
      name: "http",
      register(kit, path) {
        const writer = webdav(`http-${path}`);
        const reader = httpStore(`${of("http").endpoint}/http-${path}`);
        const sizes = { largeSize: MIB, manyObjects: 21 };
        const server = { timeFrom: "header" } as const;
        const options = { ...shortContract(kit), name: "http store", ...sizes, ...server };
        testReadableStore(() => ({ reader, writer }), options);
      },
    },
    {
      name: "nats",
      register(kit, path) {
        const store = natsOf(addresses, path);
        const sizes = { largeSize: 3.5 * MIB, manyObjects: 21 };
        testObjectStore(() => store, { ...shortContract(kit), name: "nats store", ...sizes });
        // An open connection keeps a process alive.
        kit.test("the nats store closes", () => store.close?.());
      },
    },
    {
      name: "encrypted",
      register(kit) {
        // Beneath it memory, which is the same everywhere: what differs is each runtime's cryptography.
        const keys = { one: new Uint8Array(32).fill(1) };
        const store = encryptedStore(memoryStore(), { keys, keyId: "one" });
        const sizes = { largeSize: MIB, manyObjects: 21 };
        testObjectStore(() => store, { ...shortContract(kit), name: "encrypted store", ...sizes });
      },
    },
  ];
  return all.filter(({ name }) => name === "encrypted" || addresses[name] !== undefined);
}

/** A bucket of its own for each path. */
export function natsOf(addresses: WebAddresses, bucket: string): ObjectStore {
  const { ws, user, password } = addresses["nats"] ?? {};
  return natsStore({ servers: ws, user, password, bucket, createBucket: true });
}

/** What the servers that have places for objects call theirs. */
interface Place {
  readonly endpoint: string;
  readonly bucket: string;
  readonly container: string;
}

async function probed(store: ObjectStore): Promise<ObjectStore> {
  await store.probe?.();
  return store;
}

/** The store of an emulator that deletes whatever the version: there it says so. */
export function emulated(store: ObjectStore): ObjectStore {
  return {
    ...store,
    capabilities: { ...store.capabilities, conditionalDelete: false },
    get: (key, options) => askedAgain(() => store.get(key, options)),
    head: (key, options) => askedAgain(() => store.head(key, options)),
    async deleteOne(key, options) {
      if (options?.ifMatch === undefined) return await store.deleteOne(key, options);
      const what = "the emulator ignores the condition";
      throw new UnsupportedError({ operation: "delete", object: key, what });
    },
  };
}

/**
 * Reads again as a `Replica` does: the emulator ends connections without a word, and the next request may be sent on one of
 * them.
 */
async function askedAgain<T>(read: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof StoreError) || !error.retryable || tries === 4) throw error;
    }
  }
}
