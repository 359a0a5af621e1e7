/**
 * Every server the tests know.
 *
 * @module
 */
import { ceph } from "./ceph.ts";
import { nats } from "./nats.ts";
import { seaweedfs } from "./seaweedfs.ts";
import type { ServerKind } from "./server.ts";

/** By name; one line per server. */
export const SERVERS: readonly ServerKind[] = [ceph, nats, seaweedfs];
