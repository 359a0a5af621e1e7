/**
 * `verify`: proof that a replica can be restored.
 *
 * @module
 */
import type { Platform } from "../core/platform.ts";
import type { RetryPolicy } from "../core/retry.ts";
import { openReplica, type Replica } from "../replica/replica.ts";
import type { VerifyReport } from "../replica/verify-report.ts";
import { verifyReplica, type VerifyRequest } from "../replica/verify.ts";
import type { ObjectStore } from "../transports/object-store.ts";
import { webPlatform } from "../transports/web-platform.ts";

export type {
  DrillDatabase,
  DrillRow,
  DrillTarget,
  Probe,
  SqlProbe,
} from "../replica/verify-drill.ts";
export {
  type DrillResult,
  FAULT_CODES,
  type FaultCode,
  type VerifiedLevel,
  type VerifyFault,
  type VerifyReport,
} from "../replica/verify-report.ts";
export type { VerifyProgress, VerifyRequest } from "../replica/verify.ts";

/** Options of {@linkcode verify}. */
export interface VerifyOptions extends VerifyRequest {
  /** Time and chance. @default the runtime's own */
  readonly platform?: Platform | undefined;
  /** How often and how long each request is tried. @default ten tries within two minutes per request */
  readonly retry?: RetryPolicy | undefined;
}

/**
 * Reads every file of a replica to its end, in memory that does not depend on their size, and reports what is wrong: bytes
 * that are not what was written, names that do not agree with headers, missing files, a level above level 0, times that go
 * back, page sizes that do not fit. With `restore` the newest state is restored too, and where the target has a SQLite it
 * checks integrity and foreign keys and runs the probes.
 *
 * A fault is no exception. It rejects where it could not look: `NoBackupError` where there is no file, `UnsupportedError`
 * where there are none but those of Litestream 0.3, and the errors of the store.
 *
 * @example
 * ```ts ignore
 * const report = await verify(store, {
 *   restore: memoryDrill(sqlite3), // or fileDrill() of @pagestream/node, pagestream/deno, pagestream/bun
 *   probes: [{ sql: "SELECT count(*) > 0 FROM note", expected: 1 }],
 * });
 * for (const { code, file, message } of report.faults) console.error(code, file, message);
 * ```
 */
export function verify(
  replica: ObjectStore | Replica,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const { platform = webPlatform, retry } = options;
  return verifyReplica(openReplica(replica, { platform, retry }), options);
}
