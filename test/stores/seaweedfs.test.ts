import { expect, test } from "vitest";
import { describeWithServer, part } from "./kit.ts";

describeWithServer("seaweedfs", (address) => {
  test("answers", async () => {
    expect((await fetch(`${part(address, "endpoint")}/healthz`)).status).toBe(200);
  });
});
