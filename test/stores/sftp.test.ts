import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { sftpStore, type SftpStoreOptions } from "@pagestream/node";
import type { ObjectStore } from "pagestream";
import { buildLtx } from "pagestream/testing";
import { afterAll, expect, test } from "vitest";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { collect, difference, failure, readBody } from "../../src/testing/test-kit.ts";
import { Scratch } from "../servers/server.ts";
import { sshServer } from "../servers/sshd.ts";
import { describeWithServer, part, storeContract } from "./kit.ts";

const stores: ObjectStore[] = [];
function make(options: SftpStoreOptions): ObjectStore {
  const store = sftpStore(options);
  stores.push(store);
  return store;
}
afterAll(() => Promise.all(stores.map((store) => store.close?.())));

const names = async (store: ObjectStore): Promise<string[]> =>
  (await collect(store.list())).map(({ key }) => key);

/** Larger than what is under way at once. */
const largeSize = 3.5 * 1024 * 1024;

describeWithServer("sshd", (address) => {
  const root = part(address, "root");
  const base = {
    host: part(address, "host"),
    port: Number(part(address, "port")),
    user: part(address, "user"),
    key: part(address, "key"),
    hostKey: part(address, "hostKey"),
  };
  const store = make({ ...base, path: `${root}/contract` });
  storeContract(
    { store: "SFTP", server: "OpenSSH 9.2", make: () => store },
    { timeFrom: "header", manyObjects: 40, largeSize },
  );

  test("sftpStore() refuses a server that nothing vouches for, and tells its key", async () => {
    const { hostKey, ...rest } = base;
    const error = await make(rest)
      .head("a")
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "STORE", retryable: false });
    const told = /set hostKey to "([^"]+)"/.exec(String(error))?.[1];
    expect(hostKey).toContain(told);
    expect(await failure(() => make({ ...rest, hostKey: told }).head("a"))).toBe("NOT_FOUND");
  });

  test("sftpStore() accepts each key of a server, or any where it is told to", async () => {
    for (const hostKey of [part(address, "rsaHostKey"), "accept-any"]) {
      expect(await failure(() => make({ ...base, hostKey }).head("a"))).toBe("NOT_FOUND");
    }
  });

  test("sftpStore() refuses a server whose key has changed", async () => {
    const scratch = new Scratch("sshd-changed");
    try {
      const server = await sshServer(scratch);
      await server.start();
      const port = Number(part(server.address, "port"));
      const changed = make({ ...base, key: part(server.address, "key"), port });
      await expect(changed.put("a", new Uint8Array(1))).rejects.toThrow("another key than hostKey");
    } finally {
      await scratch.end();
    }
  });

  test("sftpStore() takes keys as text, and encrypted ones", async () => {
    const text = readFileSync(base.key, "utf8");
    const encrypted = part(address, "encryptedKey");
    for (const options of [{ key: text }, { key: encrypted, passphrase: "s3cret" }]) {
      expect(await failure(() => make({ ...base, ...options }).head("a"))).toBe("NOT_FOUND");
    }
    for (const options of [
      { key: encrypted },
      { key: encrypted, passphrase: "hunter2" },
      { key: `-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2` },
      { key: "/no/such/key" },
    ]) {
      const error = await make({ ...base, ...options })
        .head("a")
        .catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(String(error)).not.toContain("hunter2");
    }
  });

  test("sftpStore() says of a refused user that no repetition helps", async () => {
    const { key: _, ...rest } = base;
    const error = await make({ ...rest, password: "hunter2" })
      .head("a")
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "STORE", retryable: false });
    expect(String(error)).toContain("refused the user, password or key");
    expect(String(error)).not.toContain("hunter2");
  });

  test("sftpStore() may be retried when nobody answers, or nobody speaks SSH", async () => {
    const closed = await make({ ...base, port: 9 })
      .head("a")
      .catch((e: unknown) => e);
    expect(closed).toMatchObject({ code: "STORE", retryable: true });
    const { createServer } = await import("node:net");
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as { port: number };
    const mute = make({ ...base, port, connectTimeoutMs: 100 });
    const error = await mute.head("a").catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "STORE", retryable: true });
    silent.close();
  });

  test("sftpStore() works below the login directory, where a path is relative", async () => {
    const relative = make({ ...base, path: "./pagestream-test//below/" });
    expect(relative.description).toBe(`sftp://127.0.0.1:${base.port}/~/pagestream-test/below`);
    await relative.put("ltx/0/a", new Uint8Array([1]));
    expect(await names(relative)).toEqual(["ltx/0/a"]);
    await relative.delete(["ltx/0/a"]);
  });

  test("put() keeps the time in whole seconds, and head() reads the rest from the file", async () => {
    const path = join(root, "times");
    const timed = make({ ...base, path });
    const ms = Date.UTC(2024, 4, 5, 6, 7, 8, 987);
    const { bytes } = buildLtx({ pageSize: 512, pages: { 1: { seed: 1 } }, timestamp: ms });
    const metadata = { "litestream-timestamp": "2024-05-05T06:07:08.987Z" };
    await timed.put("ltx/0/a.ltx", bytes, { metadata });
    await timed.put("other", bytes, { metadata });
    const { mtimeMs, atimeMs, mode } = statSync(join(path, "ltx/0/a.ltx"));
    expect([mtimeMs, atimeMs]).toEqual([ms - 987, ms - 987]);
    expect(mode & 0o777).toBe(0o600);
    expect((await timed.head("ltx/0/a.ltx")).metadata).toEqual(metadata);
    expect((await timed.head("other")).metadata).toEqual({
      "litestream-timestamp": "2024-05-05T06:07:08Z",
    });
    // One that is no LTX file has the time of the file.
    writeFileSync(join(path, "ltx/0/b.ltx"), "short");
    utimesSync(join(path, "ltx/0/b.ltx"), 5, 5);
    expect((await timed.head("ltx/0/b.ltx")).metadata).toEqual({
      "litestream-timestamp": "1970-01-01T00:00:05Z",
    });
    for (const text of ["tomorrow", "1969-12-31T23:59:59Z", "2107-01-01T00:00:00Z"]) {
      const put = (): unknown =>
        timed.put("c", bytes, { metadata: { "litestream-timestamp": text } });
      expect(await failure(put)).toBe("INVALID_ARGUMENT");
    }
  });

  test("put() removes what killed writers left, once it is a day old", async () => {
    const path = join(root, "abandoned");
    mkdirSync(join(path, "ltx/0"), { recursive: true });
    const temp = (ageHours: number, fileAgeHours: number): string => {
      const name = `a.ltx.123.${Date.now() - ageHours * 3_600_000}000000.tmp`;
      const file = join(path, "ltx/0", name);
      writeFileSync(file, "x");
      const seconds = Date.now() / 1000 - fileAgeHours * 3600;
      utimesSync(file, seconds, seconds);
      return name;
    };
    const [old, young, written, dated] = [temp(25, 25), temp(1, 0), temp(30, 1), temp(2, 48)];
    const swept = make({ ...base, path });
    await swept.put("ltx/0/b.ltx", new Uint8Array(1));
    const left = readdirSync(join(path, "ltx/0"));
    expect(left).not.toContain(old);
    expect(left.toSorted()).toEqual(["b.ltx", young, written, dated].toSorted());
    expect(await names(swept)).toEqual(["ltx/0/b.ltx"]);
    expect(await failure(() => swept.get(`ltx/0/${young}`))).toBe("STORE");
  });

  test("sftpStore() follows no links out of its directory", async () => {
    const path = join(root, "links");
    mkdirSync(join(path, "inside"), { recursive: true });
    mkdirSync(join(root, "outside"));
    writeFileSync(join(root, "outside/secret"), "x");
    symlinkSync(join(root, "outside"), join(path, "inside/link"));
    symlinkSync(join(root, "outside/secret"), join(path, "inside/file"));
    const linked = make({ ...base, path });
    for (const key of ["inside/link/secret", "inside/file"]) {
      for (const call of [
        () => linked.get(key),
        () => linked.head(key),
        () => linked.put(key, new Uint8Array(1)),
        () => linked.delete([key]),
      ]) {
        await expect(call()).rejects.toThrow("a symbolic link stands in its way");
      }
    }
    for (const prefix of ["", "inside/link/"]) {
      await expect(collect(linked.list({ prefix }))).rejects.toThrow("symbolic link");
    }
    expect(readFileSync(join(root, "outside/secret"), "utf8")).toBe("x");
    // The directory itself may be one.
    symlinkSync(join(path, "inside"), join(root, "door"));
    const behind = make({ ...base, path: join(root, "door") });
    await behind.put("a", new Uint8Array(1));
    expect(existsSync(join(path, "inside/a"))).toBe(true);
  });

  test("sftpStore() goes on after its server was killed and started again", async () => {
    const scratch = new Scratch("sshd-restart");
    try {
      const server = await sshServer(scratch);
      const first = await server.start();
      const path = part(server.address, "root");
      const restarted = make({
        ...base,
        port: Number(part(server.address, "port")),
        key: part(server.address, "key"),
        hostKey: part(server.address, "hostKey"),
        path,
        timeoutMs: 2000,
      });
      await restarted.put("before", new Uint8Array(100_000).fill(1));
      await restarted.probe?.();
      async function* killed(): AsyncGenerator<Uint8Array, void, undefined> {
        yield new Uint8Array(200_000);
        first.kill();
        yield new Uint8Array(3_000_000);
      }
      const error = await restarted.put("during", killed()).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "STORE", retryable: true });
      await server.start();
      expect(await names(restarted)).toEqual(["before", "pagestream-probe"]);
      await restarted.put("during", new Uint8Array(10), { ifNoneMatch: "*" });
      expect((await readBody((await restarted.get("before")).body)).length).toBe(100_000);
    } finally {
      await scratch.end();
    }
  });
});

describeWithServer("rclone-sftp", (address) => {
  const base = {
    host: part(address, "host"),
    port: Number(part(address, "port")),
    user: part(address, "user"),
    password: part(address, "password"),
    hostKey: "accept-any",
  };
  const store = make({ ...base, path: "contract" });
  storeContract(
    { store: "SFTP", server: "rclone 1.75", make: () => store },
    { timeFrom: "header", manyObjects: 20, largeSize, short: true },
  );

  test("probe() finds out that the server creates nothing atomically", async () => {
    const probed = make({ ...base, path: "probed" });
    const before = await failure(() => probed.put("a", new Uint8Array(1), { ifNoneMatch: "*" }));
    expect(before).toBe("UNSUPPORTED");
    expect(await probed.probe?.()).toMatchObject({ conditionalPut: false });
    expect(await names(probed)).toEqual([]);
  });

  test("put() replaces a file of a server that has no rename of OpenSSH", async () => {
    const renamed = make({ ...base, path: "renamed" });
    const bytes = seededRandom(21).bytes(100_000);
    await renamed.put("a", new Uint8Array(10));
    await renamed.put("a", bytes);
    expect(difference(await readBody((await renamed.get("a")).body), bytes)).toBe("");
    expect(await names(renamed)).toEqual(["a"]);
  });
});
