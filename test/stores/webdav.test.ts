import { collect, failure } from "pagestream/testing";
import { webdavStore, type WebdavStoreOptions } from "pagestream/transports/webdav";
import { expect, test } from "vitest";
import { leaks } from "../helpers/canaries.ts";
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
      { timeFrom: "header", manyObjects: 30, largeSize: 4 * 1024 * 1024, dotNames },
    );
    if (name !== "apache") return;
    testHttpFaults({
      name: "webdavStore()",
      origin: options.url,
      make: (url, http) => webdavStore({ ...options, ...http, url }),
    });
  });
}

describeWithServer("apache", (address) => {
  const options = { ...optionsFor(address), url: part(address, "digest"), path: "app" };

  test("webdavStore() answers a challenge of Digest, and a nonce serves many requests", async () => {
    const requests: string[] = [];
    const store = webdavStore({
      ...options,
      fetch: (url, init) => {
        requests.push(new Headers(init.headers).get("authorization") ?? "none");
        return fetch(url, init);
      },
    });
    await store.put("a space/b", new Uint8Array([1, 2, 3]));
    expect((await collect(store.list())).map(({ key }) => key)).toEqual(["a space/b"]);
    await store.delete(["a space/b"]);
    expect(requests.filter((header) => header === "none").length).toBe(1);
    expect(requests.at(-1)).toMatch(/^Digest username="app", realm="dav".* nc=0000000[5-9a-f], /);
  });

  test("webdavStore() is refused with a wrong password, at once, and shows it nowhere", async () => {
    for (const url of [part(address, "digest"), part(address, "endpoint")]) {
      const requests: string[] = [];
      const store = webdavStore({
        ...options,
        url,
        password: "wr0ng-secret",
        fetch: (target, init) => {
          requests.push(init.method ?? "");
          return fetch(target, init);
        },
      });
      const error: unknown = await store.get("a").catch((each: unknown) => each);
      expect(String(error)).toContain("the server answered 401. Check the credentials");
      expect(leaks([error, store], ["wr0ng-secret"])).toEqual([]);
      // Without credentials, with them, and a look at what the name is.
      expect(requests).toEqual(["GET", "GET", "PROPFIND"]);
    }
  });
});

describeWithServer("nginx", (address) => {
  test("webdavStore() makes its folder again when somebody has removed it", async () => {
    const options = { ...optionsFor(address), path: "removed/deep" };
    const store = webdavStore(options);
    await store.put("ltx/0/a", new Uint8Array(1));
    const authorization = `Basic ${btoa(`${options.username}:${options.password}`)}`;
    const target = `${options.url}/removed/`;
    const { status } = await fetch(target, { method: "DELETE", headers: { authorization } });
    expect(status).toBe(204);
    await store.put("ltx/0/a", new Uint8Array(2));
    expect((await store.head("ltx/0/a")).size).toBe(2);
  });
});

for (const { name } of SERVERS) {
  describeWithServer(name, (address) => {
    test("webdavStore() never deletes or replaces a folder and what lies in it", async () => {
      const store = webdavStore({ ...optionsFor(address), path: "folders" });
      await store.put("ltx/0/a.ltx/b", new Uint8Array(1));
      await store.delete(["ltx", "ltx/0", "ltx/0/a.ltx"]);
      await store.deleteOne("ltx/0");
      for (const key of ["ltx/0", "ltx/0/a.ltx"]) {
        expect([key, await failure(() => store.put(key, new Uint8Array(1)))]).toEqual([
          key,
          "STORE",
        ]);
      }
      expect((await collect(store.list())).map(({ key }) => key)).toEqual(["ltx/0/a.ltx/b"]);
    });
  });
}
