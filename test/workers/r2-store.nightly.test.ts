import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testObjectStore } from "pagestream/testing";
import { afterAll, describe, expect, test } from "vitest";
import { type Bucket, r2Store } from "../../examples/workers/r2-store.ts";
import { bundleWorker, startWorker } from "../helpers/bundle-worker.ts";

const folder = mkdtempSync(join(tmpdir(), "pagestream-r2-"));
const modules = await bundleWorker(new URL("../../examples/workers/worker.ts", import.meta.url));
const worker = startWorker(modules, { r2: { bucket: "BUCKET", folder } });
const bucket = (await worker.getR2Bucket("BUCKET")) as unknown as Bucket;

afterAll(async () => {
  await worker.dispose();
  rmSync(folder, { recursive: true, force: true });
});

testObjectStore(() => r2Store(bucket, "contract/"), { describe, test, expect, name: "r2Store()" });
