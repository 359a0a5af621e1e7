/** @module */

import { describe, expect, test } from "vitest";
import {
  checkBudget,
  checkErrorCodes,
  checkLinks,
  checkStorePages,
} from "../../scripts/checks/documents.ts";
import { sampleTree } from "../../scripts/checks/tree.ts";

describe("checkErrorCodes()", () => {
  const problemsOf = (page: string): readonly string[] =>
    checkErrorCodes(
      sampleTree({
        "src/core/errors.ts": 'export const ERROR_CODES = [\n  "ABORTED",\n  "GAP",\n] as const;',
        "docs/errors.md": page,
      }),
    );
  const row = (code: string): string => `| \`${code}\` | Class | when | what to do |\n`;

  test("checkErrorCodes() compares both ways", () => {
    expect(problemsOf(row("ABORTED") + row("GAP"))).toEqual([]);
    expect(problemsOf(row("ABORTED"))).toEqual(["docs/errors.md: has no row for GAP"]);
    expect(problemsOf(row("ABORTED") + row("GAP") + row("GONE"))).toHaveLength(1);
    expect(problemsOf(row("ABORTED") + row("GAP") + row("GAP"))).toHaveLength(1);
    expect(problemsOf(`${row("ABORTED")}| \`GAP\` | Class |  | x |\n`)).toHaveLength(1);
  });

  test("checkErrorCodes() refuses a missing page or list", () => {
    expect(checkErrorCodes(sampleTree({ "docs/errors.md": "" }))).toHaveLength(1);
    expect(
      checkErrorCodes(sampleTree({ "src/core/errors.ts": 'ERROR_CODES = ["A"]' })),
    ).toHaveLength(1);
  });
});

describe("checkLinks()", () => {
  const problemsOf = (text: string): readonly string[] =>
    checkLinks(
      sampleTree({
        "README.md": text,
        "docs/a.md": "# A page\n\n## Its `code` part\n",
        "src/x.ts": "",
      }),
    );

  test.each([
    "[a](docs/a.md)",
    "[a](./docs/a.md#its-code-part)",
    "[a](docs)",
    "[a](src/x.ts)",
    "[a](https://example.com/nowhere)",
    "`[a](nowhere.md)`",
    "```\n[a](nowhere.md)\n```",
    "# Top\n\n[a](#top)",
  ])("checkLinks() accepts %j", (text) => {
    expect(problemsOf(text)).toEqual([]);
  });

  test.each([
    "[a](nowhere.md)",
    "![a](pic.png)",
    "[a](docs/a.md#gone)",
    "[a](#gone)",
    "[a]: docs/gone.md",
  ])("checkLinks() refuses %j", (text) => {
    expect(problemsOf(text)).toHaveLength(1);
  });
});

describe("checkStorePages()", () => {
  const headings = [
    "Set-up",
    "Options",
    "Credentials",
    "Limits",
    "Guarantees",
    "Cost per month at one write per second",
  ];
  const page = (names: readonly string[]): string =>
    [
      "# X",
      "```sh\n## no heading\n```",
      "`pagestream/transports/x`",
      ...names.map((name) => `## ${name}`),
    ].join("\n\n");
  const good = {
    "package.json": JSON.stringify({
      exports: { ".": "", "./transports/store-kit": {}, "./transports/x": {} },
    }),
    "docs/stores.md": "| X | `xStore` of `pagestream/transports/x` | [X](stores/x.md) |",
    "docs/stores/x.md": page(headings),
  };
  const problemsOf = (other: Partial<typeof good>): readonly string[] =>
    checkStorePages(sampleTree({ ...good, ...other }));

  test("checkStorePages() accepts a page and a row for each store", () => {
    expect(problemsOf({})).toEqual([]);
  });

  test.each([
    [{ "docs/stores/x.md": page(headings.slice(1)) }, "has the headings Options"],
    [{ "docs/stores/x.md": page(headings.toReversed()) }, "has the headings Cost"],
    [{ "docs/stores/x.md": page([...headings, "More"]) }, "has the headings"],
    [{ "docs/stores/x.md": page(headings).replace("/x`", "/y`") }, "links to no page"],
    [{ "docs/stores.md": "pagestream/transports/x" }, "has no row"],
    [{ "docs/stores.md": "| `pagestream/transports/x` | no link |" }, "links to no page"],
  ])("checkStorePages() refuses %j", (other, reason) => {
    const problems = problemsOf(other);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(reason);
  });
});

describe("checkBudget()", () => {
  const problemsOf = (budget: object): readonly string[] =>
    checkBudget(sampleTree({ "test/budget.json": JSON.stringify(budget) }), ["unit", "fuzz"]);

  test("checkBudget() accepts shares within the total", () => {
    expect(
      problemsOf({ totalSeconds: 960, suites: { unit: 500, fuzz: 400 }, reserved: { soak: 60 } }),
    ).toEqual([]);
  });

  test.each([
    [{ totalSeconds: 960, suites: { unit: 500, fuzz: 461 } }, "sum to 961"],
    [{ totalSeconds: 100, suites: { unit: 50, fuzz: 40 }, reserved: { soak: 11 } }, "sum to 101"],
    [{ totalSeconds: 1081, suites: { unit: 1, fuzz: 1 } }, "above 1080"],
    [{ totalSeconds: 960, suites: { unit: 1 } }, "fuzz has no share"],
    [{ totalSeconds: 960, suites: { unit: 1, fuzz: 1, soak: 1 } }, "no suite soak"],
    [{ totalSeconds: 960, suites: { unit: 1, fuzz: 0 } }, "has no time"],
    [{ totalSeconds: 960, suites: { unit: 1, fuzz: 1 }, reserved: { unit: 1 } }, "not reserved"],
  ])("checkBudget() refuses %j", (budget, reason) => {
    expect(problemsOf(budget).join("\n")).toContain(reason);
  });
});
