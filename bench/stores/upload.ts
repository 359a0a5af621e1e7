/**
 * What `litestream replicate -once` does, with this library: one full level 0 file of a database that nobody has open,
 * then the end. A program of its own, so that its start counts.
 *
 * usage: node bench/stores/upload.ts DATABASE URL
 *
 * @module
 */
import { statSync } from "node:fs";
import { storeFromUrl, syncFiles } from "@pagestream/node";
import { fileState, replicate, stateDirectory } from "pagestream";
import { openFileSource } from "pagestream/vfs";

const [path = "", url = ""] = process.argv.slice(2);
const files = syncFiles();
const lock = files.lock(path);
try {
  const fingerprint = (): string => String(statSync(path, { bigint: true }).mtimeNs);
  const source = openFileSource({ files, path, fingerprint });
  const store = await storeFromUrl(url, { form: "config" });
  const replication = await replicate(source, store, {
    state: fileState(files, stateDirectory(path)),
  });
  await replication.durable();
  await replication.close();
  await store.close?.();
  source.close();
} finally {
  lock.release();
}
