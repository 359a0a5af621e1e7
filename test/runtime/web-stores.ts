/**
 * Stores over the web on real servers, in any runtime: the servers run elsewhere and are known by their addresses.
 *
 * @module
 */
import type { ObjectStore } from "pagestream";
import type { ObjectStoreTestOptions } from "pagestream/testing";
import { azureStore } from "pagestream/transports/azure";
import { s3Store } from "pagestream/transports/s3";
import { webdavStore } from "pagestream/transports/webdav";

/** Where servers answer and what they let in, by the name of the store. */
export type WebAddresses = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** A store to hold to the contract. */
export interface WebStore {
  readonly name: string;
  /** Makes it below a path of the caller's own, probed. */
  readonly make: (path: string) => Promise<ObjectStore>;
  /** As small as the parts and pages of the store allow. */
  readonly options: Partial<ObjectStoreTestOptions>;
}

const MIB = 1024 * 1024;

/** The stores that have an address. */
export function webStores(addresses: WebAddresses): WebStore[] {
  const makers: Readonly<Record<string, Omit<WebStore, "name">>> = {
    s3: {
      make: async (path) => {
        const { endpoint, bucket, accessKeyId, secretAccessKey } = of("s3");
        const credentials = { accessKeyId: accessKeyId!, secretAccessKey: secretAccessKey! };
        return s3Store({ endpoint, bucket: bucket!, path, credentials, pageSize: 10 });
      },
      options: { largeSize: 5 * MIB + 1000, manyObjects: 21, races: 0 },
    },
    azure: {
      make: async (path) => {
        const { endpoint, container, accountName, accountKey } = of("azure");
        return azureStore({
          endpoint,
          container: container!,
          accountName,
          accountKey,
          path,
          blockSize: MIB,
          pageSize: 10,
        });
      },
      options: { largeSize: 2 * MIB + 1000, manyObjects: 21 },
    },
    webdav: {
      make: async (path) => {
        const { endpoint, username, password } = of("webdav");
        return webdavStore({ url: endpoint!, username, password, path });
      },
      options: { largeSize: 2 * MIB, manyObjects: 21, timeFrom: "header" },
    },
  };
  function of(name: string): Partial<Record<string, string>> {
    return addresses[name] ?? {};
  }
  return Object.entries(makers)
    .filter(([name]) => addresses[name] !== undefined)
    .map(([name, { make, options }]) => ({
      name,
      options,
      make: async (path) => {
        const store = await make(path);
        await store.probe?.();
        return store;
      },
    }));
}
