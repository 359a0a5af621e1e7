import { describe, expect, test } from "vitest";
import { memoryStore } from "../transports/memory.ts";
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
});
