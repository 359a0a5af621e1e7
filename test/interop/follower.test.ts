import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, test } from "vitest";
import { Scene } from "../follower/scene.ts";
import { type Application, contentDigest } from "../helpers/application.ts";
import {
  describeWithLitestream,
  litestreamRestoreTo,
  removeTemporary,
  startDaemon,
} from "../helpers/litestream.ts";
import { isFull, readL0, replicaFiles } from "./our-writer.ts";

afterEach(removeTemporary);

/** Expects real Litestream to restore what an application sees. */
async function expectRestored(scene: Scene, application: Application, name: string): Promise<void> {
  const output = join(scene.directory, name);
  const { stderr } = await litestreamRestoreTo(scene.replica, output, { integrityCheck: "full" });
  expect(stderr).toBe("");
  const db = new DatabaseSync(output);
  try {
    expect(contentDigest(db)).toBe(await application.digest());
  } finally {
    db.close();
  }
}

function newest(scene: Scene): bigint {
  const txids = replicaFiles(scene.replica).map(({ maxTxid }) => maxTxid);
  return txids.reduce((max, txid) => (txid > max ? txid : max), 0n);
}

describeWithLitestream("the WAL follower and real Litestream", () => {
  test("a replica of the follower is restored by Litestream", async () => {
    await using scene = new Scene();
    const application = await scene.application();
    await using followed = await scene.follow();
    for (let seed = 1; seed <= 3; seed++) {
      await application.work({ seed, changes: 60, hostile: true });
      await followed.sync();
      await expectRestored(scene, application, `theirs-${seed}.db`);
    }
  });

  test("a replica changes hands, there and back, without a file of all pages", async () => {
    await using scene = new Scene();
    const { path, replica } = scene;
    const application = await scene.application();
    const daemon = async (): Promise<void> => {
      await using litestream = await startDaemon({ databases: { [path]: replica } });
      await litestream.sync(path);
    };
    await application.work({ seed: 1, changes: 60 });
    await daemon();
    const theirs = newest(scene);
    await application.work({ seed: 2, changes: 10 });
    await scene.once();
    const ours = newest(scene);
    expect(ours).toBe(theirs + 1n);
    expect(isFull(readL0(replica, ours))).toBe(false);
    await scene.expectWhole(application);
    await expectRestored(scene, application, "ours.db");
    await application.work({ seed: 3, changes: 10 });
    await daemon();
    expect(newest(scene)).toBeGreaterThan(ours);
    await scene.expectWhole(application);
    await expectRestored(scene, application, "theirs.db");
  });
});
