import { fileStore } from "@pagestream/node";
import type { ObjectStore } from "pagestream";
import { collect, failure, readBody, testReadableStore } from "pagestream/testing";
import { httpStore, writeHttpIndex } from "pagestream/transports/http";
import { describe, expect, test } from "vitest";
import type { ServerAddress } from "../servers/server.ts";
import { testHttpFaults } from "./faults.ts";
import { leaks } from "../helpers/canaries.ts";
import { shortContract } from "../runtime/short-contract.ts";
import { describeWithServer, part } from "./kit.ts";

const READABLE = { fileMode: 0o644, directoryMode: 0o755 };

let count = 0;

/** A folder of its own that a server shows, by its path there and as a store to write to. */
function shown(address: ServerAddress): { path: string; writer: ObjectStore } {
  const path = `/case-${++count}/db`;
  return { path, writer: fileStore(part(address, "indexed") + path, READABLE) };
}

for (const { name, server, dotNames } of [
  { name: "nginx", server: "nginx 1.22", dotNames: false },
  { name: "apache", server: "Apache 2.4", dotNames: true },
]) {
  describeWithServer(name, (address) => {
    const index = part(address, "index");
    const writer = fileStore(part(address, "indexed"), READABLE);
    const runner = { describe, test, expect };
    testReadableStore(() => ({ reader: httpStore(index), writer }), {
      // Servers differ in their listings; what is asked of them does not.
      ...(name === "nginx" ? runner : shortContract(runner)),
      name: `httpStore() on ${server}: contract`,
      timeFrom: "header",
      dotNames,
      manyObjects: 20,
      largeSize: 4 * 1024 * 1024,
    });
  });
}

describeWithServer("nginx", (address) => {
  const { path, writer } = shown(address);
  testHttpFaults({
    name: "httpStore()",
    origin: part(address, "index"),
    make: (endpoint, http) => httpStore(`${endpoint}${path}`, http),
    fill: async (key, bytes) => {
      await writer.put(key, bytes);
    },
  });

  test("httpStore() lists by an index where the server lists nothing", async () => {
    const { path, writer } = shown(address);
    const reader = httpStore(part(address, "plain") + path);
    const metadata = { "litestream-timestamp": "2026-02-03T04:05:06.789Z" };
    for (const key of ["ltx/0/b.ltx", "ltx/0/a.ltx", "ltx/1/c.ltx"]) {
      await writer.put(key, new Uint8Array(7), { metadata });
    }
    expect(await failure(() => collect(reader.list({ prefix: "ltx/0/" })))).toBe("STORE");
    expect(await writeHttpIndex(writer)).toBe(3);
    expect(await writeHttpIndex(writer)).toBe(3);
    const listed = await collect(
      httpStore(part(address, "plain") + path).list({ prefix: "ltx/0/" }),
    );
    expect(listed.map(({ key, size, metadata }) => [key, size, metadata])).toEqual([
      ["ltx/0/a.ltx", 7, metadata],
      ["ltx/0/b.ltx", 7, metadata],
    ]);
    expect((await readBody((await reader.get("ltx/0/a.ltx")).body)).length).toBe(7);
    // The pages of the folders do not show the index either.
    await writer.delete(["pagestream-index.json"]);
    await writer.put("pagestream-index.json", new TextEncoder().encode("{"));
    const all = httpStore(part(address, "index") + path).list();
    expect(await failure(() => collect(all))).toBe("STORE");
  });

  test("httpStore() is let in by the headers it is given, and shows them nowhere", async () => {
    const { path, writer } = shown(address);
    await writer.put("a", new Uint8Array([1]));
    const authorization = `Basic ${btoa("app:s3cret")}`;
    const url = part(address, "guarded") + path;
    const reader = httpStore(url, { headers: { authorization } });
    expect((await collect(reader.list())).map(({ key }) => key)).toEqual(["a"]);
    const refused = httpStore(url, {
      headers: { authorization: `Basic ${btoa("app:wr0ng-secret")}` },
    });
    const error: unknown = await refused.get("a").catch((each: unknown) => each);
    expect(leaks([error, refused], ["wr0ng-secret", btoa("app:wr0ng-secret")])).toEqual([]);
    expect(String(error)).toContain("the server answered 401");
  });
});
