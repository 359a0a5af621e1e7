import { expect, test } from "vitest";
import { failure } from "../testing/test-kit.ts";
import { escapeXml, parseXml, tryParseXml } from "./xml.ts";

const CONTEXT = { operation: "list", object: "bucket" };

test("parseXml() gives elements by their local names, and their text", () => {
  const root = parseXml(
    `<?xml version="1.0"?><D:multi xmlns:D="DAV:"><D:a>1 &amp; <![CDATA[<2>]]></D:a><b/><D:a>&#x33;</D:a></D:multi>`,
    CONTEXT,
  );
  expect(root.name).toBe("multi");
  expect(root.children("a").map(({ text }) => text)).toEqual(["1 & <2>", "3"]);
  expect(root.children().map(({ name }) => name)).toEqual(["a", "b", "a"]);
  expect([root.textOf("a"), root.textOf("b"), root.textOf("c")]).toEqual(["1 & <2>", "", ""]);
  expect(root.child("c")).toBe(undefined);
});

test("parseXml() refuses what was cut anywhere", async () => {
  const text = `<List><Key>a</Key><Key>b</Key></List>`;
  for (let length = 0; length < text.length; length++) {
    expect(await failure(() => parseXml(text.slice(0, length), CONTEXT))).toBe("STORE");
  }
  expect(tryParseXml("Service Unavailable")).toBe(undefined);
});

test("parseXml() expands no entities of a document's own", async () => {
  const bomb = `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>`;
  expect(await failure(() => parseXml(bomb, CONTEXT))).toBe("STORE");
});

test("escapeXml() gives text that parses to itself", () => {
  const text = `a<b>&"'\r\n]]>ü🙂`;
  expect(parseXml(`<x>${escapeXml(text)}</x>`, CONTEXT).text).toBe(text);
});
