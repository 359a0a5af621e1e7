import { describe, expect, test } from "vitest";
import { collect, failure } from "../testing/test-kit.ts";
import { parseFolderPage, parseIndex } from "./http-listing.ts";
import { httpStore } from "./http.ts";

const CONTEXT = { operation: "list", object: "a folder" };
const TIME = "2026-11-22T12:00:00Z";

const page = (...links: readonly string[]): string =>
  `<html><head><title>Index of /db</title></head><body>${links.join("\n")}</body></html>\n`;

describe("parseFolderPage", () => {
  test("parseFolderPage() reads the pages of nginx, Apache and Python", () => {
    const nginx = page(
      '<a href="../">../</a>',
      '<a href="a%20b%26c">a b&amp;c</a>  7',
      '<a href="0/">0/</a>',
    );
    expect(parseFolderPage(nginx, CONTEXT)).toEqual([
      { name: "a b&c", folder: false },
      { name: "0", folder: true },
    ]);
    const apache = page(
      '<th><a href="?C=N;O=D">Name</a></th>',
      '<a href="/">Parent Directory</a>',
      '<img src="x"><a href="a&amp;b.ltx">a&amp;b</a>',
      '<a href="a&amp;b.ltx">again</a>',
      '<a class="x" href="./1%3a2">1:2</a>',
    );
    expect(parseFolderPage(apache, CONTEXT).map(({ name }) => name)).toEqual(["a&b.ltx", "1:2"]);
    const python = page("<li><a href='it&#x27;s'>it</a>").replace(
      "Index of",
      "Directory listing for",
    );
    expect(parseFolderPage(python, CONTEXT)).toEqual([{ name: "it's", folder: false }]);
  });

  test("parseFolderPage() refuses other pages, cut ones and links that are no names", () => {
    for (const bad of [
      "<html><title>Welcome</title></html>",
      "",
      page('<a href="a">a</a>').slice(0, -9),
      page('<a href="a/b">a</a>'),
      page('<a href="%ff">a</a>'),
    ]) {
      expect(() => parseFolderPage(bad, CONTEXT)).toThrow("Cannot list a folder");
    }
  });
});

describe("parseIndex", () => {
  test("parseIndex() refuses what is cut or holds anything that is no object", () => {
    const good = { key: "a", size: 1, lastModified: TIME };
    expect(parseIndex(JSON.stringify({ objects: [good] }), CONTEXT).objects.length).toBe(1);
    for (const change of [{ key: "../a" }, { size: -1 }, { size: "1" }, { lastModified: "now" }]) {
      const text = JSON.stringify({ objects: [{ ...good, ...change }] });
      expect(() => parseIndex(text, CONTEXT)).toThrow("no object");
    }
    for (const text of ['{"objects":[', "{}", "[]", '{"objects":{}}']) {
      expect(() => parseIndex(text, CONTEXT)).toThrow("Cannot list");
    }
  });
});

describe("httpStore", () => {
  test("list() asks listUrl for page after page, and notices one that does not go on", async () => {
    const asked: string[] = [];
    const keys = ["a", "b", "c", "d"];
    const store = httpStore("https://files.test/db", {
      listUrl: "https://api.test/list?p={prefix}&s={startAfter}",
      headers: { authorization: "Bearer 1" },
      fetch: async (url, init) => {
        asked.push(`${url} ${new Headers(init.headers).get("authorization")}`);
        const after = new URL(url).searchParams.get("s") ?? "";
        const rest = keys.filter((key) => key > after);
        const objects = rest.slice(0, 2).map((key) => ({ key, size: 1, lastModified: TIME }));
        return Response.json({ objects, more: rest.length > 2 });
      },
    });
    expect((await collect(store.list())).map(({ key }) => key)).toEqual(keys);
    expect(asked).toEqual([
      "https://api.test/list?p=&s= Bearer 1",
      "https://api.test/list?p=&s=b Bearer 1",
    ]);
    const endless = httpStore("https://files.test/db", {
      fetch: async () =>
        Response.json({ objects: [{ key: "a", size: 1, lastModified: TIME }], more: true }),
    });
    await expect(collect(endless.list())).rejects.toThrow("promises more and does not go on");
  });

  test("list() may begin twice before it is known what the server has", async () => {
    let asked = 0;
    const fetch = async (url: string): Promise<Response> => {
      if (!url.endsWith(".json")) return new Response(page());
      if (++asked === 2) await first;
      return new Response("", { status: 404 });
    };
    const store = httpStore("https://files.test/db", { fetch });
    const first = collect(store.list());
    expect(await collect(store.list())).toEqual([]);
    expect(asked).toBe(2);
  });

  test("list() of a server that has neither index nor listing is an error, not an empty list", async () => {
    const fetch = async (): Promise<Response> => new Response("", { status: 404 });
    const store = httpStore("https://files.test/db", { fetch });
    await expect(collect(store.list({ prefix: "ltx/0/" }))).rejects.toThrow("writeHttpIndex");
  });

  test("get() and head() refuse what a server compresses on the way", async () => {
    const headers = {
      "content-encoding": "gzip",
      "last-modified": "Sun, 22 Nov 2026 12:00:00 GMT",
    };
    const fetch = async (): Promise<Response> => new Response("x", { headers });
    const store = httpStore("https://files.test/db", { fetch });
    await expect(store.get("a")).rejects.toThrow("compresses the object");
    await expect(store.head("a")).rejects.toThrow("compresses the object");
    expect(await failure(() => httpStore("https://u:p@files.test"))).toBe("INVALID_ARGUMENT");
  });
});
