/**
 * `pagestream version`.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { EXIT } from "./failure.ts";
import { formatTable } from "./format.ts";

/** Prints the version, as one line or with those of the runtime. */
export async function runVersion(flags: { readonly verbose?: boolean }): Promise<number> {
  const version = commandVersion();
  if (flags.verbose !== true) {
    process.stdout.write(`${version}\n`);
    return EXIT.ok;
  }
  const rows = [
    ["Version:", version],
    ["Library:", versionOf(new URL(import.meta.resolve("pagestream/package.json")))],
    ["Node Version:", process.version],
    ["SQLite:", process.versions["sqlite"] ?? "none"],
    ["OS/Arch:", `${process.platform}/${process.arch}`],
  ];
  process.stdout.write(formatTable(rows));
  return EXIT.ok;
}

/** The version of this package. */
export function commandVersion(): string {
  return versionOf(new URL("../../package.json", import.meta.url));
}

function versionOf(manifest: URL): string {
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}
