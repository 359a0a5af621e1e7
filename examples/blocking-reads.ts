// SQLite's synchronous API on a replica: a worker reads the store, and the thread that asks waits for it.
import { once } from "node:events";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { fileStore } from "@pagestream/node";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { blockingReads, openReplicated } from "pagestream";
import { serveReads } from "pagestream/read-worker";
import { openReplicaDatabase } from "pagestream/vfs";

const store = fileStore("replica"); // or httpStore, s3Store, …: files of this machine would need no worker

if (isMainThread) await ask();
else serve();

function serve(): void {
  if (parentPort === null) return;
  serveReads(parentPort, store);
  parentPort.postMessage("up");
}

async function ask(): Promise<void> {
  const sqlite3 = await sqlite3InitModule();
  const app = await openReplicated({ sqlite3, path: "app.db", replica: store });
  app.db.exec("CREATE TABLE note(body); INSERT INTO note VALUES ('hello')");
  await app.close();

  const worker = new Worker(new URL(import.meta.url));
  await once(worker, "message"); // a worker may not start while this thread is blocked
  const reads = blockingReads(worker, { deadlineMs: 10_000 });
  const view = await openReplicaDatabase({ sqlite3, replica: store, blockingReads: reads });
  console.log(view.driver, view.db.selectValue("SELECT body FROM note")); // block hello
  await view.close();
  await worker.terminate();
}
