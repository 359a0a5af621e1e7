/**
 * What the start of a follower reads: of a database that nobody has touched, and of one whose log began anew.
 *
 * node --import ./test/helpers/sources.mjs bench/follower/start.ts [megabytes]
 *
 * @module
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Application } from "../../test/helpers/application.ts";
import { Replicator } from "../../test/helpers/replicator.ts";

const megabytes = Number(process.argv[2] ?? 1_000);
const directory = mkdtempSync(join(tmpdir(), "pagestream-start-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const path = join(directory, "app.db");
const replica = join(directory, "replica");

/** Starts, replicates what there is, and ends. */
async function start(what: string): Promise<void> {
  const replicator = await Replicator.open({ path, replica });
  await replicator.sync();
  const { bytesRead = 0, ms } = (await replicator.status()).start;
  await replicator.close();
  const seconds = (ms / 1_000).toFixed(2);
  console.log(`| ${what} | ${(bytesRead / 1e6).toFixed(1)} MB | ${seconds} s |`);
}

const application = await Application.open({ path });
await application.run(`CREATE TABLE t(id INTEGER PRIMARY KEY, body);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ${megabytes * 16})
  INSERT INTO t SELECT i, zeroblob(62000) FROM n;`);
await application.checkpoint("TRUNCATE");
await application.run("UPDATE t SET body = 'known' WHERE id = 1");
console.log(`A database of ${(statSync(path).size / 1e6).toFixed(0)} MB\n`);
console.log("| start | bytes read | until it is known how to go on |");
console.log("| --- | ---: | ---: |");
await start("the first: every page goes into the replica");
await start("nobody touched the WAL");
await application.run("UPDATE t SET body = 'later' WHERE id = 2");
await start("one commit was added to the WAL");
await application.checkpoint("TRUNCATE");
await application.run("UPDATE t SET body = 'latest' WHERE id = 3");
await start("the WAL began anew: pages are compared");
await application.close();
