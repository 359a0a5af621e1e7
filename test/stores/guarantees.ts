/**
 * The table of guarantees in `docs/stores.md`: what the contract found out about each store on each server.
 *
 * A run compares each row with the page. With PAGESTREAM_UPDATE=1 it writes the row into the page instead.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { StoreCapabilities } from "pagestream";

const PAGE = new URL("../../docs/stores.md", import.meta.url);

const BEGIN = "<!-- guarantees: written by the contract run -->";
const END = "<!-- end of guarantees -->";

const HEAD = [
  "| store | tried on | create only if free | the same for large ones | replace a version | delete a version | time of a file | a put is seen whole or not at all | a list is complete after a put |",
  "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
];

/** What a contract run has found out. */
export interface Guarantees {
  readonly store: string;
  readonly server: string;
  readonly capabilities: StoreCapabilities;
  readonly timeFrom: "metadata" | "header";
}

/** Compares a row with the page, or writes it; returns what is wrong. The contract's own tests hold the last columns. */
export function recordGuarantees(found: Guarantees): string[] {
  const row = rowOf(found);
  const page = readFileSync(PAGE, "utf8");
  const [start, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`${PAGE.pathname} has lost its table`);
  const rows = page
    .slice(start + BEGIN.length, end)
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .slice(HEAD.length);
  if (rows.map(normalize).includes(normalize(row))) return [];
  if (process.env["PAGESTREAM_UPDATE"] !== "1") {
    return [`docs/stores.md does not have the row ${row}; run the suite with PAGESTREAM_UPDATE=1`];
  }
  const others = rows.filter((line) => !sameSubject(line, row));
  const table = [...HEAD, ...[...others, row].toSorted()].join("\n");
  writeFileSync(PAGE, `${page.slice(0, start)}${BEGIN}\n\n${table}\n\n${page.slice(end)}`);
  return [];
}

function rowOf({ store, server, capabilities: can, timeFrom }: Guarantees): string {
  const yes = (value: boolean): string => (value ? "yes" : "no");
  const listed = can.metadataInList ? "in the list" : "a request per file";
  const time = timeFrom === "header" ? "read from the file" : listed;
  const cells = [
    store,
    server,
    yes(can.conditionalPut),
    can.conditionalPut && !can.conditionalLarge
      ? "checked before and after"
      : yes(can.conditionalLarge),
    yes(can.conditionalReplace),
    yes(can.conditionalDelete),
    time,
    "yes",
    "yes",
  ];
  return `| ${cells.join(" | ")} |`;
}

/** A formatter pads the cells of a table. */
function normalize(line: string): string {
  return line.replace(/\s+/g, " ").trim();
}

function sameSubject(a: string, b: string): boolean {
  const subject = (line: string): string => line.split("|").slice(1, 3).map(normalize).join("|");
  return subject(a) === subject(b);
}
