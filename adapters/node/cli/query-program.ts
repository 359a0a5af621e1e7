/**
 * `pagestream query`: its flags and its help.
 *
 * @module
 */
import type { Command } from "commander";
import { withConfigFlags } from "./configuration.ts";
import type { QueryFlags } from "./query.ts";

/** Adds it. */
export function addQueryCommand(program: Command, done: (exitCode: number) => void): void {
  withConfigFlags(program.command("query"))
    .description("ask a replica by SQL, now or in the past, without restoring it")
    .argument("[replica]", "a replica, by directory or URL; or a database of the configuration")
    .argument("[sql]", "one statement that only reads")
    .option("--txid <hex16>", "ask the state of this transaction: 16 hex digits")
    .option("--timestamp <time>", "ask the state of this time: RFC 3339, or 5 minutes ago")
    .option("--json", "print one JSON object: columns and rows")
    .option("--stats", "print what it has cost: requests, bytes and pages read")
    .addHelpText(
      "after",
      `
Only the pages that the statement needs are read. In JSON, integers beyond 2^53 are objects {"integer": "..."}, blobs
{"base64": "..."}, infinite numbers the strings Inf and -Inf; with --stats it has the member "stats".

Examples:
  pagestream query s3://backups/app "SELECT name, sql FROM sqlite_schema"
  pagestream query -timestamp "5 minutes ago" /backup/app "SELECT * FROM account WHERE id = 42"
  pagestream query --json --stats -config /etc/litestream.yml /data/app.db "SELECT count(*) FROM note"
`,
    )
    .action(async (replica: string | undefined, sql: string | undefined, flags: QueryFlags) => {
      const { runQuery } = await import("./query.ts");
      done(await runQuery(replica, sql, flags));
    });
}
