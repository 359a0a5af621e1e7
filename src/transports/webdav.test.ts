import { describe, expect, test } from "vitest";
import { collect, failure, readBody } from "../testing/test-kit.ts";
import { parseMultistatus } from "./webdav-resource.ts";
import { webdavStore, type WebdavStoreOptions } from "./webdav.ts";

const CONTEXT = { operation: "list", object: "a folder" };
const NOW = "Sun, 22 Nov 2026 12:00:00 GMT";

/** A member of a multistatus answer; a folder where the size is left out. */
function member(href: string, size?: number, modified = "Sun, 22 Nov 2026 11:59:59 GMT"): string {
  const type = size === undefined ? "<x:collection/>" : "";
  const length = size === undefined ? "" : `<x:getcontentlength>${size}</x:getcontentlength>`;
  return (
    `<x:response><x:href>${href}</x:href><x:propstat><x:prop><x:resourcetype>${type}</x:resourcetype>` +
    `${length}<x:getlastmodified>${modified}</x:getlastmodified></x:prop>` +
    "<x:status>HTTP/1.1 200 OK</x:status></x:propstat><x:propstat><x:prop><x:getetag/></x:prop>" +
    "<x:status>HTTP/1.1 404 Not Found</x:status></x:propstat></x:response>"
  );
}

function multistatus(...members: readonly string[]): string {
  return `<?xml version="1.0"?><x:multistatus xmlns:x="DAV:">${members.join("")}</x:multistatus>`;
}

interface Sent {
  readonly line: string;
  readonly headers: Headers;
}

/** A store whose requests a function answers, and the requests. */
function fakeStore(
  answer: (line: string, count: number) => readonly [status: number, body?: string],
  options: Partial<WebdavStoreOptions> = {},
): { store: ReturnType<typeof webdavStore>; sent: Sent[]; lines: () => string[] } {
  const sent: Sent[] = [];
  const store = webdavStore({
    url: "http://dav.test/area",
    path: "db",
    fetch: async (url, init) => {
      const line = `${init.method} ${new URL(url).pathname.replace(/[0-9a-f]{16}/, "x")}`;
      sent.push({ line, headers: new Headers(init.headers) });
      const [status, body] = answer(line, sent.length);
      const headers = { date: NOW, "last-modified": NOW };
      return new Response(status === 204 ? null : (body ?? ""), { status, headers });
    },
    ...options,
  });
  return { store, sent, lines: () => sent.map(({ line }) => line) };
}

describe("parseMultistatus", () => {
  test("parseMultistatus() reads hrefs that are paths or URLs, encoded in any way", () => {
    const names = ["/a/b%20c", "http://dav.test:80/a/%e6%97%a5", "/a/plus+&amp;%25", "/a//twice"];
    const text = multistatus(...names.map((name) => member(name, 3)), member("/a/folder/"));
    expect(parseMultistatus(text, CONTEXT).map(({ path, folder }) => [path, folder])).toEqual([
      ["/a/b c", false],
      ["/a/日", false],
      ["/a/plus+&%", false],
      ["/a/twice", false],
      ["/a/folder", true],
    ]);
  });

  test("parseMultistatus() leaves out what is gone or no text, and refuses what is hidden", () => {
    const status = (text: string): string =>
      `<x:response><x:href>/a/x</x:href><x:status>HTTP/1.1 ${text}</x:status></x:response>`;
    const some = multistatus(member("/a/%ff", 1), status("404 Not Found"), member("/a/b", 1));
    expect(parseMultistatus(some, CONTEXT).map(({ name }) => name)).toEqual(["b"]);
    for (const bad of [
      multistatus(status("403 Forbidden")),
      multistatus(member("/a/b", 1, "yesterday")),
      multistatus(member("/a/b", -1)),
      "<multistatus>",
      "<other/>",
      "",
    ]) {
      expect(() => parseMultistatus(bad, CONTEXT)).toThrow("Cannot list a folder");
    }
  });
});

describe("webdavStore", () => {
  test("webdavStore() refuses an address that holds a secret, and half of the credentials", async () => {
    for (const url of ["https://u:p@dav.test", "https://dav.test/?k=v", "dav.test"]) {
      expect(await failure(() => webdavStore({ url }))).toBe("INVALID_ARGUMENT");
    }
    const half = { url: "https://dav.test", username: "app" };
    expect(await failure(() => webdavStore(half))).toBe("INVALID_ARGUMENT");
    expect(webdavStore({ url: "https://dav.test/area/", path: "/a b/" }).description).toBe(
      "https://dav.test/area/a%20b",
    );
  });

  test("put() makes the folders it lacks from the top, once, and moves without overwriting", async () => {
    const made = new Set<string>();
    const { store, sent, lines } = fakeStore((line) => {
      const [method = "", path = ""] = line.split(" ");
      if (method === "PROPFIND") return [207, multistatus(member(path, 1))];
      if (method !== "MKCOL") return [201];
      const parent = path.slice(0, path.lastIndexOf("/", path.length - 2) + 1);
      if (parent !== "/area/" && !made.has(parent)) return [409];
      made.add(path);
      return [201];
    });
    await store.put("ltx/0/a", new Uint8Array(1));
    await store.put("ltx/0/b", new Uint8Array(1));
    expect(lines()).toEqual([
      "MKCOL /area/db/ltx/0/",
      "MKCOL /area/db/ltx/",
      "MKCOL /area/db/",
      "MKCOL /area/db/ltx/",
      "MKCOL /area/db/ltx/0/",
      "PUT /area/db/ltx/0/.pagestream-x.tmp",
      "MOVE /area/db/ltx/0/.pagestream-x.tmp",
      "PROPFIND /area/db/ltx/0/a",
      "PUT /area/db/ltx/0/.pagestream-x.tmp",
      "MOVE /area/db/ltx/0/.pagestream-x.tmp",
      "PROPFIND /area/db/ltx/0/b",
    ]);
    const { headers } = sent[6] as Sent;
    expect([headers.get("destination"), headers.get("overwrite")]).toEqual([
      "http://dav.test/area/db/ltx/0/a",
      "F",
    ]);
  });

  test("put() never overwrites when its object has been moved by a try that somebody repeated", async () => {
    const { store, sent, lines } = fakeStore((line) => {
      if (line.startsWith("MOVE")) return [412];
      if (line.startsWith("PROPFIND") && line.endsWith(".tmp")) return [404];
      return line.startsWith("PROPFIND") ? [207, multistatus(member("/area/db/a", 1))] : [201];
    });
    await store.put("a", new Uint8Array(1));
    expect(lines().filter((line) => line.startsWith("MOVE")).length).toBe(1);
    expect(sent.some(({ headers }) => headers.get("overwrite") === "T")).toBe(false);
  });

  test("put() removes its temporary object when it fails, and waits while a name is locked", async () => {
    let locked = 3;
    const { store, lines } = fakeStore((line) => {
      if (line.startsWith("PUT") && locked-- > 0) return [423];
      return line.startsWith("MOVE") ? [507] : [201];
    });
    expect(await failure(() => store.put("a", new Uint8Array(1)))).toBe("STORE");
    expect(lines().map((line) => line.split(" ")[0])).toEqual([
      "MKCOL",
      "PUT",
      "PUT",
      "PUT",
      "PUT",
      "MOVE",
      "DELETE",
    ]);
  });

  test("put() refuses a stream past its bounds before it sends anything", async () => {
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 10; i++) yield new Uint8Array(1000);
    }
    const { store, sent } = fakeStore(() => [201], { maxBufferedBytes: 5000 });
    await expect(store.put("a", body())).rejects.toThrow(
      "longer than the 5000 bytes that are kept in memory. Raise maxBufferedBytes",
    );
    await expect(store.put("a", body(), { sizeBound: 2000 })).rejects.toThrow("2000 bytes");
    expect(sent).toEqual([]);
  });

  test("put() hands a long stream to the spool, and frees it also when it fails", async () => {
    const released: number[] = [];
    const options: Partial<WebdavStoreOptions> = {
      maxBufferedBytes: 1500,
      async spool(chunks) {
        const blob = new Blob((await collect(chunks)) as Uint8Array<ArrayBuffer>[]);
        return { blob, release: async () => void released.push(blob.size) };
      },
    };
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 3; i++) yield new Uint8Array(1000);
    }
    const { store } = fakeStore((line) => (line.startsWith("PUT") ? [507] : [201]), options);
    expect(await failure(() => store.put("a", body()))).toBe("STORE");
    expect(released).toEqual([3000]);
    expect(await failure(() => store.put("a", body(), { sizeBound: 2500 }))).toBe("STORE");
    expect(released).toEqual([3000]);
  });

  test("list() shows no temporary objects, and the next put() removes those older than a day", async () => {
    const temp = (digit: string): string => `/area/db/.pagestream-${digit.repeat(16)}.tmp`;
    const listing = multistatus(
      member("/area/db/"),
      member(temp("a"), 1, "Sat, 21 Nov 2026 11:59:59 GMT"),
      member(temp("b"), 1, "Sat, 21 Nov 2026 12:00:01 GMT"),
      member("/area/db/key", 1),
    );
    const { store, sent } = fakeStore((line) => {
      if (line === "PROPFIND /area/db/") return [207, listing];
      return line.startsWith("PROPFIND") ? [207, multistatus(member("/area/db/key", 1))] : [201];
    });
    expect((await collect(store.list())).map(({ key }) => key)).toEqual(["key"]);
    expect(sent.some(({ line }) => line.startsWith("DELETE"))).toBe(false);
    await store.put("key", new Uint8Array(1));
    await store.put("key", new Uint8Array(1));
    expect(sent.filter(({ line }) => line.startsWith("DELETE")).length).toBe(1);
  });

  test("list() refuses an answer that is about another place", async () => {
    const { store } = fakeStore(() => [207, multistatus(member("/elsewhere/"), member("/x", 1))]);
    await expect(collect(store.list())).rejects.toThrow("names its resources by another address");
  });

  test("get() skips and cuts what a server sends in spite of the range", async () => {
    const { store, sent } = fakeStore(() => [200, "0123456789"], {
      fetch: async (_, init) => {
        sent.push({ line: "", headers: new Headers(init.headers) });
        const headers = { "content-length": "10", "last-modified": NOW };
        return new Response("0123456789", { headers });
      },
    });
    const got = await store.get("a", { offset: 3, length: 4 });
    expect(new TextDecoder().decode(await readBody(got.body))).toBe("3456");
    expect([got.size, got.etag]).toEqual([10, '"6b02d940-a"']);
    expect(sent[0]?.headers.get("range")).toBe("bytes=3-6");
    expect(await failure(() => store.get("a", { ifMatch: '"x"' }))).toBe("PRECONDITION_FAILED");
  });

  test("probe() asks nothing and promises nothing unless exclusiveMove is set", async () => {
    const { store, sent } = fakeStore(() => [201]);
    expect((await store.probe?.())?.conditionalPut).toBe(false);
    expect(sent).toEqual([]);
    // A server that moves onto what is there, whatever it is told.
    const careless = fakeStore(() => [201], { exclusiveMove: true });
    expect((await careless.store.probe?.())?.conditionalPut).toBe(false);
    const put = (): unknown => careless.store.put("a", new Uint8Array(1), { ifNoneMatch: "*" });
    expect(await failure(put)).toBe("UNSUPPORTED");
  });
});
