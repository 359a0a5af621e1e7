import { describe, expect, test } from "vitest";
import { failure } from "../testing/test-kit.ts";
import { authenticator, digestHeader, parseChallenges } from "./webdav-auth.ts";

const MUFASA = { username: "Mufasa", password: "Circle of Life" };
const RFC7616 = {
  realm: "http-auth@example.org",
  qop: "auth, auth-int",
  nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
  opaque: "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
};
const REQUEST = {
  method: "GET",
  uri: "/dir/index.html",
  cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
};
const URL_OF_IT = "http://www.example.org/dir/index.html";

const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(0xab);

describe("digestHeader", () => {
  test("digestHeader() makes the answers of RFC 7616, section 3.9.1", async () => {
    for (const [algorithm, response] of [
      ["MD5", "8ca523f5e9506fed4657c9700eebdbec"],
      ["SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"],
    ] as const) {
      const session = { params: { ...RFC7616, algorithm }, count: 0 };
      const header = await digestHeader(session, MUFASA, REQUEST);
      expect(header).toBe(
        `Digest username="Mufasa", realm="${RFC7616.realm}", nonce="${RFC7616.nonce}", ` +
          `uri="/dir/index.html", response="${response}", algorithm=${algorithm}, ` +
          `opaque="${RFC7616.opaque}", qop=auth, nc=00000001, cnonce="${REQUEST.cnonce}"`,
      );
      expect(await digestHeader(session, MUFASA, REQUEST)).toContain("nc=00000002");
    }
  });

  test("digestHeader() answers servers of RFC 2069, which know no qop, and -sess", async () => {
    const { realm, nonce } = RFC7616;
    const old = await digestHeader({ params: { realm, nonce }, count: 0 }, MUFASA, REQUEST);
    expect(old).toMatch(/, response="[0-9a-f]{32}"$/);
    const params = { ...RFC7616, algorithm: "MD5-sess" };
    const session = await digestHeader({ params, count: 0 }, MUFASA, REQUEST);
    expect(session).toContain("algorithm=MD5-sess");
    expect(session).not.toContain("8ca523f5e9506fed4657c9700eebdbec");
  });
});

describe("parseChallenges", () => {
  test("parseChallenges() reads several challenges, quoted commas and escapes", () => {
    const header =
      'Digest realm="a, Basic realm=\\"x\\"", nonce=abc, qop="auth,auth-int",stale=TRUE, ' +
      'Basic realm="b", Negotiate';
    expect(parseChallenges(header)).toEqual([
      {
        scheme: "digest",
        params: { realm: 'a, Basic realm="x"', nonce: "abc", qop: "auth,auth-int", stale: "TRUE" },
      },
      { scheme: "basic", params: { realm: "b" } },
      { scheme: "negotiate", params: {} },
    ]);
    expect(parseChallenges("")).toEqual([]);
    expect(parseChallenges('="')).toEqual([]);
  });
});

describe("authenticator", () => {
  test("authenticator() sends nothing before it is asked, and nothing without credentials", async () => {
    const auth = authenticator(MUFASA, bytes);
    expect(await auth.header("GET", URL_OF_IT)).toBe(undefined);
    expect(auth.learn('Basic realm="x"', false)).toBe(true);
    expect(await auth.header("GET", URL_OF_IT)).toBe(`Basic ${btoa("Mufasa:Circle of Life")}`);
    expect(auth.learn('Basic realm="x"', true)).toBe(false);
    const nobody = authenticator(undefined, bytes);
    expect(nobody.learn('Basic realm="x"', false)).toBe(false);
    expect(await nobody.header("GET", URL_OF_IT)).toBe(undefined);
  });

  test("authenticator() prefers Digest to Basic, and SHA-256 to MD5", async () => {
    const auth = authenticator(MUFASA, bytes);
    const weak = 'Basic realm="x", Digest realm="x", nonce="1", qop="auth", algorithm=MD5';
    const unknown = 'Digest realm="x", nonce="3", qop="auth", algorithm=SHA-512-256';
    expect(auth.learn(weak, false)).toBe(true);
    expect(await auth.header("GET", URL_OF_IT)).toContain("algorithm=MD5");
    const strong = 'Digest realm="x", nonce="2", qop="auth", algorithm=SHA-256';
    expect(auth.learn(`${weak}, ${unknown}, ${strong}`, false)).toBe(true);
    expect(await auth.header("GET", URL_OF_IT)).toContain("algorithm=SHA-256");
    expect(auth.learn(unknown, false)).toBe(false);
    expect(auth.learn('Digest realm="x", nonce="1", qop="auth-int"', false)).toBe(false);
  });

  test("authenticator() begins anew with the nonce that replaces an old one", async () => {
    const auth = authenticator(MUFASA, bytes);
    auth.learn('Digest realm="x", nonce="1", qop="auth"', false);
    await auth.header("GET", URL_OF_IT);
    expect(auth.learn('Digest realm="x", nonce="2", qop="auth"', true)).toBe(false);
    expect(auth.learn('Digest realm="x", nonce="2", qop="auth", stale=true', true)).toBe(true);
    expect(await auth.header("GET", URL_OF_IT)).toContain('nonce="2"');
    expect(await auth.header("GET", URL_OF_IT)).toContain("nc=00000002");
  });

  test("authenticator() encodes names as UTF-8, and refuses a colon where it cannot be sent", async () => {
    const auth = authenticator({ username: "jürgen", password: "pä" }, bytes);
    auth.learn('Basic realm="x"', false);
    expect(await auth.header("GET", URL_OF_IT)).toBe(
      `Basic ${Buffer.from("jürgen:pä").toString("base64")}`,
    );
    const colon = authenticator({ username: "a:b", password: "c" }, bytes);
    expect(await failure(() => colon.learn('Basic realm="x"', false))).toBe("INVALID_ARGUMENT");
  });
});
