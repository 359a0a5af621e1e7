/**
 * The contract of the stores over the web, in each runtime, against the servers that the runner has started.
 *
 * @module
 */
import process from "node:process";
import type { GetResult, ObjectInfo } from "pagestream";
import { seededRandom } from "pagestream/testing";
import { describe, expect, runtime, test } from "./kit.ts";
import { natsOf, type WebAddresses, webStores } from "./web-stores.ts";

const addresses = JSON.parse(process.env["PAGESTREAM_WEB_STORES"] ?? "{}") as WebAddresses;

const path = `${runtime}-${process.pid}`;

for (const { name, register } of webStores(addresses)) {
  // Deno's WebSocket sends small messages late: a listing takes 90 ms, and the contract makes hundreds.
  if (name !== "nats") register({ describe, test, expect }, path);
}

if (addresses["nats"] !== undefined) {
  test("nats store writes, announces, lists, reads and deletes", async () => {
    const store = natsOf(addresses, path);
    const bytes = seededRandom(1).bytes(300_000);
    const ready = (): void => void store.put("ltx/0/a", bytes, { ifNoneMatch: "*" });
    for await (const { key } of store.watch?.({ ready }) ?? store.list()) {
      expect(key).toBe("ltx/0/a");
      break;
    }
    const listed = await collect(store.list());
    expect(listed.map(({ key, size }) => [key, size])).toEqual([["ltx/0/a", 300_000]]);
    expect(await bytesOf(store.get("ltx/0/a"))).toEqual(bytes);
    const part = store.get("ltx/0/a", { offset: 200_000, length: 5 });
    expect(await bytesOf(part)).toEqual(bytes.slice(200_000, 200_005));
    await store.delete(["ltx/0/a"]);
    expect(await collect(store.list())).toEqual([]);
    await store.close?.();
  });
}

async function collect(listing: AsyncIterable<ObjectInfo>): Promise<ObjectInfo[]> {
  const infos: ObjectInfo[] = [];
  for await (const info of listing) infos.push(info);
  return infos;
}

async function bytesOf(got: Promise<GetResult>): Promise<Uint8Array> {
  return new Uint8Array(await new Response((await got).body).arrayBuffer());
}
