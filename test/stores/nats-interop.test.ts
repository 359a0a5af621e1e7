import { connect } from "@nats-io/transport-node";
import type { ObjectStore } from "pagestream";
import { natsStore } from "pagestream/transports/nats";
import { afterAll } from "vitest";
import { testInterop } from "./interop.ts";
import { describeWithServer, part } from "./kit.ts";

const stores: ObjectStore[] = [];
afterAll(() => Promise.all(stores.map((store) => store.close?.())));

describeWithServer("nats", (address) => {
  const [servers, user, password] = [
    part(address, "tcp"),
    part(address, "user"),
    part(address, "password"),
  ];
  /** A database has a bucket of its own. */
  const bucketOf = (path: string): string => path.replaceAll("/", "-");
  testInterop({
    name: "natsStore()",
    store: async (path) => {
      const bucket = bucketOf(path);
      const store = natsStore({ servers, connect, user, password, bucket, createBucket: true });
      stores.push(store);
      // Litestream makes none.
      for await (const _ of store.list());
      return store;
    },
    // No url: now and then Litestream's library cancels its own reads from NATS, those of its own replicas too.
    replica: (path) => ({
      type: "nats",
      url: `${servers}/${bucketOf(path)}`,
      username: user,
      password,
    }),
  });
});
