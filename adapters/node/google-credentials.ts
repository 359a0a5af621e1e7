/**
 * Tokens of Google from wherever a process is given them: a file it is told of, gcloud's, the metadata server.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { StoreError } from "pagestream";
import { googleMetadataServer, googleToken, type TokenSource } from "pagestream/transports/gcs";

/** Options of {@linkcode googleCredentials}. */
export interface GoogleCredentialsOptions {
  /** Variables of the environment. @default `process.env` */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/**
 * Finds tokens in the order of Google's own libraries: the file that GOOGLE_APPLICATION_CREDENTIALS names, the one that
 * `gcloud auth application-default login` has written, the metadata server of Google's cloud. The stores keep a token
 * until five minutes before it expires; then files are read anew.
 *
 * @example
 * ```ts
 * import { googleCredentials } from "@pagestream/node";
 * import { gcsStore } from "pagestream/transports/gcs";
 *
 * const store = gcsStore({ bucket: "backups", path: "app", token: googleCredentials() });
 * ```
 */
export function googleCredentials(options: GoogleCredentialsOptions = {}): TokenSource {
  const { env = process.env } = options;
  return async () => {
    const named = env["GOOGLE_APPLICATION_CREDENTIALS"];
    const text = named ? await read(named) : await readIfThere(gcloudFile(env));
    if (text !== undefined) return await googleToken(text)();
    try {
      return await googleMetadataServer({ host: env["GCE_METADATA_HOST"] || undefined })();
    } catch (error) {
      const retryable = error instanceof StoreError && error.retryable;
      throw notFound("no file names any, and the metadata server gives none", error, retryable);
    }
  };
}

function gcloudFile(env: Readonly<Record<string, string | undefined>>): string {
  const appData = env["APPDATA"];
  const folder =
    env["CLOUDSDK_CONFIG"] ||
    (process.platform === "win32" && appData
      ? join(appData, "gcloud")
      : join(env["HOME"] || homedir(), ".config", "gcloud"));
  return join(folder, "application_default_credentials.json");
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw notFound(`the file ${path} cannot be read`, error);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw notFound(`the file ${path} cannot be read`, error);
  }
}

function notFound(what: string, cause: unknown, retryable = false): StoreError {
  const next =
    "Set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login, or run in Google's cloud";
  const details = { operation: "find", object: "Google credentials", what, next, cause };
  return new StoreError(details, { retryable });
}
