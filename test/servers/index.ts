/**
 * Every server the tests know.
 *
 * @module
 */
import { apache } from "./apache.ts";
import { azurite } from "./azurite.ts";
import { ceph } from "./ceph.ts";
import { fakeGcs } from "./fake-gcs.ts";
import { nats } from "./nats.ts";
import { nginx } from "./nginx.ts";
import { rcloneSftp } from "./rclone-sftp.ts";
import { rcloneWebdav } from "./rclone-webdav.ts";
import { seaweedfs } from "./seaweedfs.ts";
import { sshd } from "./sshd.ts";
import type { ServerKind } from "./server.ts";

/** By name; one line per server. */
export const SERVERS: readonly ServerKind[] = [
  apache,
  azurite,
  ceph,
  fakeGcs,
  nats,
  nginx,
  rcloneSftp,
  rcloneWebdav,
  seaweedfs,
  sshd,
];
