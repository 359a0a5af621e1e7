import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readHostKeys } from "./sftp-host-key.ts";

/** A key as a server shows it: its type with a length, and bytes. */
function keyOf(type: string, fill: number): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(type.length);
  return Buffer.concat([head, Buffer.from(type), Buffer.alloc(40, fill)]);
}

const key = keyOf("ssh-ed25519", 1);
const other = keyOf("ssh-ed25519", 2);
const rsa = keyOf("ssh-rsa", 3);
const line = (bytes: Buffer, type = "ssh-ed25519"): string => `${type} ${bytes.toString("base64")}`;
const server = { host: "host.example", port: 22 };
const odd = { host: "host.example", port: 2222 };
const folder = mkdtempSync(join(tmpdir(), "pagestream-host-key-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("readHostKeys()", () => {
  const path = join(folder, "known hosts");
  writeFileSync(path, `# comment\n\nhost.example ${line(key)} root@host\n`);

  const salt = Buffer.alloc(20, 7);
  const hashed = (name: string): string => {
    const hash = createHmac("sha1", salt).update(name).digest("base64");
    return `|1|${salt.toString("base64")}|${hash}`;
  };

  test.each<[string, string | string[], typeof server]>([
    ["a line of authorized_keys", line(key), server],
    ["a line with a comment", `${line(key)} root@host`, server],
    ["several lines", `${line(other)}\n${line(key)}\n`, server],
    ["a list of lines", [line(other), line(key)], server],
    ["a line of known_hosts", `host.example ${line(key)}`, server],
    ["a line with several names", `10.0.0.1,host.example ${line(key)}`, server],
    ["a line with a wildcard", `*.example ${line(key)}`, server],
    ["a line with a port", `[host.example]:2222 ${line(key)}`, odd],
    ["a line with a hashed name", `${hashed("host.example")} ${line(key)}`, server],
    ["a line with a hashed name and port", `${hashed("[host.example]:2222")} ${line(key)}`, odd],
    ["the path of a file", path, server],
    ["accept-any", "accept-any", server],
  ])("accepts a key by %s", async (_, option, name) => {
    expect((await readHostKeys(option, name)).check(key)).toBe(undefined);
  });

  test.each<[string, string | string[] | undefined, typeof server, string]>([
    ["nothing", undefined, server, "nothing vouches for"],
    ["another key", line(other), server, "another key"],
    ["another host", `other.example ${line(key)}`, server, "not named by hostKey"],
    ["the host at another port", `host.example ${line(key)}`, odd, "not named by hostKey"],
    ["a pattern and its exception", `*.example,!host.example ${line(key)}`, server, "not named"],
    ["another hashed name", `${hashed("other")} ${line(key)}`, server, "not named"],
    ["a revoked key", `@revoked * ${line(key)}\nhost.example ${line(key)}`, server, "was revoked"],
    ["an authority", `@cert-authority * ${line(key)}`, server, "not named"],
    ["lines that are none", ["", "#", "ssh-ed25519", "x"], server, "not named"],
  ])("refuses a key by %s, and tells it", async (_, option, name, message) => {
    const error = (await readHostKeys(option, name)).check(key);
    expect(error).toMatchObject({ code: "STORE", retryable: false });
    expect(error?.message).toContain(message);
    expect(error?.message).toMatch(/SHA256:[\w+/]{43} /);
    expect(error?.message).toContain(`set hostKey to "${line(key)}"`);
  });

  test("asks first for the types of known keys, and never for SHA-1", async () => {
    const { algorithms } = await readHostKeys([line(rsa, "ssh-rsa")], server);
    expect(algorithms.slice(0, 3)).toEqual(["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
    expect(new Set(algorithms).size).toBe(algorithms.length);
    expect(algorithms).not.toContain("ssh-rsa");
  });

  test("says when there is no such file", async () => {
    await expect(readHostKeys("/no/such/file", server)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });
});
