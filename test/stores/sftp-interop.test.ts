import { join } from "node:path";
import { sftpStore, type SftpStoreOptions } from "@pagestream/node";
import type { ObjectStore } from "pagestream";
import { afterAll } from "vitest";
import { testInterop } from "./interop.ts";
import { describeWithServer, part } from "./kit.ts";

const stores: ObjectStore[] = [];
const make = (options: SftpStoreOptions): ObjectStore => {
  const store = sftpStore(options);
  stores.push(store);
  return store;
};
afterAll(() => Promise.all(stores.map((store) => store.close?.())));

describeWithServer("rclone-sftp", (address) => {
  const [host, port] = [part(address, "host"), Number(part(address, "port"))];
  const [user, password] = [part(address, "user"), part(address, "password")];
  testInterop({
    name: "sftpStore() on rclone",
    keepsTime: false,
    store: (path) => make({ host, port, user, password, hostKey: "accept-any", path: `/${path}` }),
    url: (path) => `sftp://${user}:${password}@${host}:${port}/${path}`,
  });
});

describeWithServer("sshd", (address) => {
  const [host, port] = [part(address, "host"), Number(part(address, "port"))];
  const [user, key, hostKey] = [
    part(address, "user"),
    part(address, "key"),
    part(address, "hostKey"),
  ];
  const root = part(address, "root");
  testInterop({
    name: "sftpStore() on OpenSSH",
    keepsTime: false,
    store: (path) => make({ host, port, user, key, hostKey, path: join(root, path) }),
    replica: (path) => ({
      type: "sftp",
      host: `${host}:${port}`,
      user,
      "key-path": key,
      // Of the kind that Litestream asks a server for first.
      "host-key": part(address, "rsaHostKey"),
      path: join(root, path),
    }),
  });
});
