/** @module */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ObjectStore } from "pagestream";
import { buildLtx } from "pagestream/testing";
import { encryptedStore } from "pagestream/transports/encrypted";
import { memoryStore } from "pagestream/transports/memory";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { runServe, servedAs } from "./serve.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "pagestream-serve-"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true });
});

const usage = { code: "INVALID_ARGUMENT", exitCode: 2 };

describe("runServe()", () => {
  test.each(["0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:80", "example.com:80", "127.example:80"])(
    "runServe() does not listen on %s without a token",
    async (addr) => {
      const message = `cannot listen on ${addr} without a token: others than this machine could read the database`;
      await expect(runServe(root, { addr })).rejects.toMatchObject({ ...usage, message });
    },
  );

  test.each(["8081", "127.0.0.1", "127.0.0.1:65536", "::1:80", "a/b:80", "http://x:80"])(
    "runServe() refuses the address %s",
    async (addr) => {
      const failing = runServe(root, { addr });
      await expect(failing).rejects.toThrow(`${addr}: an address is host:port, or :port`);
    },
  );

  test("runServe() refuses what cannot be a token, and does not show it", async () => {
    const path = join(root, "token");
    for (const text of ["", "too-short", "a token with spaces in it"]) {
      writeFileSync(path, text);
      const byFile = runServe(root, { addr: ":0", tokenFile: path });
      const shown = `the token of ${path} cannot be used: 16 or more letters, digits and -._~+/ are needed`;
      await expect(byFile).rejects.toMatchObject({ ...usage, message: shown });
      vi.stubEnv("PAGESTREAM_SERVE_TOKEN", text);
      await expect(runServe(root, { addr: ":0" })).rejects.toThrow(
        "the token of $PAGESTREAM_SERVE_TOKEN cannot be used",
      );
    }
    const missing = runServe(root, { addr: ":0", tokenFile: join(root, "none") });
    await expect(missing).rejects.toMatchObject(usage);
  });

  test("runServe() refuses origins and log levels that are none, and wants a replica", async () => {
    const addr = "127.0.0.1:0";
    for (const origin of ["app.example.com", "https://app.example.com/path", "null"]) {
      const failing = runServe(root, { addr, corsOrigin: [origin] });
      await expect(failing).rejects.toThrow("for flag -cors-origin: an origin, or *");
    }
    await expect(runServe(root, { addr, logLevel: "loud" })).rejects.toThrow("-log-level: one of");
    await expect(runServe(undefined, { addr })).rejects.toMatchObject(usage);
  });

  test("runServe() says that an address is taken", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { readonly port: number };
    const failing = runServe(root, { addr: `127.0.0.1:${port}` });
    await expect(failing).rejects.toMatchObject({ code: "IO" });
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("servedAs()", () => {
  const options = { text: "s3://b", signal: new AbortController().signal };
  const keys = { keys: { a: new Uint8Array(32) }, keyId: "a" };
  const { name, bytes } = buildLtx({ pages: { 1: { seed: 1 } } });

  test("servedAs() says what readers get", async () => {
    const store = memoryStore();
    expect(await servedAs(store, options)).toBe("none yet");
    await store.put(`ltx/0/${name}`, bytes);
    expect(await servedAs(store, options)).toBe("plain");
    const sealed = memoryStore();
    await encryptedStore(sealed, keys).put(`ltx/0/${name}`, bytes);
    expect(await servedAs(sealed, options)).toBe("encrypted");
    expect(await servedAs(encryptedStore(sealed, keys), options)).toBe("decrypted");
  });

  test("servedAs() refuses encrypted files that would be read under another name", async () => {
    const sealed: ObjectStore = { ...memoryStore(), layout: "hex" };
    await encryptedStore(sealed, keys).put(`0000/${name}`, bytes);
    await expect(servedAs(sealed, options)).rejects.toThrow("its key is not given");
  });
});
