/** @module */
import { InvalidArgumentError } from "pagestream";
import { afterEach, describe, expect, test } from "vitest";
import type { Health } from "./health.ts";
import { serveTelemetry, type TelemetryOptions, type TelemetryServer } from "./telemetry-server.ts";

const open: TelemetryServer[] = [];
let status: Health["status"] = "ok";

afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
  status = "ok";
});

async function serve(options: Partial<TelemetryOptions>): Promise<readonly string[]> {
  const server = await serveTelemetry({
    metrics: { contentType: "text/plain; version=0.0.4", text: async () => "a_metric 1\n" },
    health: () => ({ status, max_lag_seconds: 60, databases: [] }),
    ...options,
  });
  open.push(server);
  return server.addresses;
}

describe("serveTelemetry()", () => {
  test("serveTelemetry() serves metrics and health at one address", async () => {
    const [address] = await serve({ addr: "127.0.0.1:0" });
    const metrics = await fetch(`http://${address}/metrics`);
    expect(metrics.headers.get("content-type")).toBe("text/plain; version=0.0.4");
    expect(await metrics.text()).toBe("a_metric 1\n");
    const health = await fetch(`http://${address}/health?x=1`);
    expect(health.status).toBe(200);
    expect(await health.json()).toEqual({ status: "ok", max_lag_seconds: 60, databases: [] });
  });

  test("serveTelemetry() answers 503 where something could not be restored", async () => {
    const [address] = await serve({ addr: "127.0.0.1:0" });
    status = "failing";
    const response = await fetch(`http://${address}/health`);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ status: "failing" });
  });

  test("serveTelemetry() serves health at an address of its own", async () => {
    const [, address] = await serve({ addr: "127.0.0.1:0", healthAddr: "localhost:0" });
    expect((await fetch(`http://${address}/health`)).status).toBe(200);
    expect((await fetch(`http://${address}/metrics`)).status).toBe(404);
  });

  test("serveTelemetry() serves nothing else", async () => {
    const [address] = await serve({ addr: "127.0.0.1:0" });
    for (const path of ["/", "/metrics/", "//", "/toString", "/health%"]) {
      expect((await fetch(`http://${address}${path}`)).status).toBe(404);
    }
    const posted = await fetch(`http://${address}/metrics`, { method: "POST" });
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  test("serveTelemetry() answers 500 without details where measuring fails", async () => {
    const text = async (): Promise<string> => {
      throw new Error("secret");
    };
    const [address] = await serve({ addr: "127.0.0.1:0", metrics: { contentType: "", text } });
    const response = await fetch(`http://${address}/metrics`);
    expect([response.status, await response.text()]).toEqual([500, "failed\n"]);
  });

  test("serveTelemetry() listens nowhere without an address", async () => {
    expect(await serve({})).toEqual([]);
  });

  test.each(["9090", "localhost:", "localhost:99999", "localhost:http"])(
    "serveTelemetry() refuses the address %s",
    async (addr) => {
      await expect(serve({ addr })).rejects.toThrow(InvalidArgumentError);
    },
  );

  test("serveTelemetry() frees the first address when the second is taken", async () => {
    const [taken = ""] = await serve({ addr: "127.0.0.1:0" });
    const [free = ""] = await serve({ addr: "127.0.0.1:0" });
    await open.pop()?.close();
    await expect(serve({ addr: free, healthAddr: taken })).rejects.toThrow("EADDRINUSE");
    expect(await serve({ addr: free })).toEqual([free]);
  });
});
