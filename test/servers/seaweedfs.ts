/**
 * SeaweedFS as the first S3 server: it verifies signatures, conditions and SSE-C.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts, type ServerKind, tool } from "./server.ts";

/** The keys it lets in. */
const IDENTITY = {
  name: "t",
  credentials: [{ accessKey: "AKTEST", secretKey: "SKTESTSECRET" }],
  actions: ["Admin", "Read", "Write", "List", "Tagging"],
  policyNames: ["all"],
};

/** Of its token service, whose session keys may at most what the one who asks for them may. */
const SESSIONS = {
  sts: {
    tokenDuration: "15m",
    maxSessionLength: "1h",
    issuer: "tests",
    signingKey: btoa("a key of thirty-two bytes, or so."),
  },
  policies: [
    {
      name: "all",
      document: {
        Version: "2012-10-17",
        Statement: [{ Effect: "Allow", Action: ["s3:*"], Resource: ["*"] }],
      },
    },
  ],
};

/** `endpoint`, `accessKeyId`, `secretAccessKey`. Buckets are the tests' to make: the first object of each is slow. */
export const seaweedfs: ServerKind = {
  name: "seaweedfs",
  programs: [tool("weed")],
  install: "node scripts/tools.mjs weed",
  async start(scratch) {
    // It listens on each port plus 10,000, too.
    const [master, volume, filer, s3] = await freePorts(4, 10_000);
    const config = join(scratch.folder, "s3.json");
    writeFileSync(config, JSON.stringify({ identities: [IDENTITY] }));
    const sessions = join(scratch.folder, "iam.json");
    writeFileSync(sessions, JSON.stringify(SESSIONS));
    const data = scratch.make("data");
    scratch.spawn(
      tool("weed"),
      (
        `server -dir=${data} -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.port=${master} ` +
        `-volume.port=${volume} -filer -filer.port=${filer} -s3 -s3.port=${s3} -s3.config=${config} ` +
        `-s3.iam=false -s3.iam.config=${sessions} -s3.port.iceberg=0 -s3.port.lance=0 -volume.max=0 ` +
        "-master.volumeSizeLimitMB=64 -master.volumePreallocate=false"
      ).split(" "),
      { env: { WEED_MASTER_VOLUME_GROWTH_COPY_1: "1" } },
    );
    const endpoint = `http://127.0.0.1:${s3}`;
    await scratch.answers(`${endpoint}/healthz`);
    return { endpoint, accessKeyId: "AKTEST", secretAccessKey: "SKTESTSECRET" };
  },
};
