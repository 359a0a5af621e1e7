import { describe, expect, test } from "vitest";
import { ADOPTED_KEY } from "../replica/adopted.ts";
import { LEASE_KEY } from "../replica/lease-object.ts";
import { POINTER_KEY } from "../replica/pointer.ts";
import { memoryStore } from "../transports/memory.ts";
import { PROBE_KEY } from "../transports/object-store.ts";
import { deleteReplica } from "./delete-replica.ts";

describe("deleteReplica()", () => {
  test("deleteReplica() deletes only what is confirmed by name", async () => {
    const store = memoryStore({ description: "memory of ours" });
    await store.put("ltx/0/0000000000000001-0000000000000001.ltx", new Uint8Array(131));
    const wrong = deleteReplica(store, { confirm: "" });
    await expect(wrong).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    const done = await deleteReplica(store, { confirm: "memory of ours" });
    expect(done).toEqual({ files: 1, bytes: 131 });
  });

  test("deleteReplica() takes what lies beside the files along", async () => {
    const inner = memoryStore({ description: "probed" });
    const store = { ...inner, probe: async () => inner.capabilities };
    for (const key of [PROBE_KEY, LEASE_KEY, POINTER_KEY, ADOPTED_KEY]) {
      await store.put(key, new Uint8Array(1));
    }
    await store.put("notes.txt", new Uint8Array(1));
    await deleteReplica(store, { confirm: "probed" });
    const left = [];
    for await (const { key } of store.list()) left.push(key);
    expect(left).toEqual(["notes.txt"]);
  });
});
