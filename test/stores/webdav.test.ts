import { webdavStore, type WebdavStoreOptions } from "pagestream/transports/webdav";
import type { ServerAddress } from "../servers/server.ts";
import { testHttpFaults } from "./faults.ts";
import { describeWithServer, part, storeContract } from "./kit.ts";

const SERVERS = [
  { name: "apache", server: "Apache 2.4" },
  { name: "nginx", server: "nginx 1.22 with dav-ext, two processes", dotNames: false },
  // Looks for the destination and moves under one lock.
  { name: "rclone-webdav", server: "rclone 1.75", exclusiveMove: true },
];

function optionsFor(address: ServerAddress): WebdavStoreOptions {
  const [url, username, password] = ["endpoint", "username", "password"].map((name) =>
    part(address, name),
  ) as [string, string, string];
  return { url, username, password };
}

for (const { name, server, exclusiveMove, dotNames } of SERVERS) {
  describeWithServer(name, (address) => {
    const options = { ...optionsFor(address), path: "/a path/cöntract/", exclusiveMove };
    storeContract(
      { store: "WebDAV", server, make: () => webdavStore(options) },
      { timeFrom: "header", manyObjects: 60, largeSize: 4 * 1024 * 1024, dotNames },
    );
    if (name !== "apache") return;
    testHttpFaults({
      name: "webdavStore()",
      origin: options.url,
      make: (url, http) => webdavStore({ ...options, ...http, url }),
    });
  });
}
