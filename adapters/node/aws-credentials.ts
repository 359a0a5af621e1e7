/**
 * Keys of AWS from wherever a process is given them: environment, shared files, web identity, container, instance.
 *
 * @module
 */
import { StoreError } from "pagestream";
import type { S3CredentialProvider } from "pagestream/transports/s3";

/** Options of {@linkcode awsCredentials}. */
export interface AwsCredentialsOptions {
  /** Section of the shared files. @default `AWS_PROFILE`, else "default" */
  readonly profile?: string | undefined;
}

/**
 * Finds keys in the order of AWS's own tools: variables of the environment, shared files with their profiles and roles, a
 * web identity token, the container's endpoint, the instance's metadata. The stores keep what they get until five
 * minutes before it expires.
 *
 * @example
 * ```ts
 * import { awsCredentials } from "@pagestream/node";
 * import { s3Store } from "pagestream/transports/s3";
 *
 * const store = s3Store({ bucket: "backups", path: "app.db", credentials: awsCredentials() });
 * ```
 */
export function awsCredentials(options: AwsCredentialsOptions = {}): S3CredentialProvider {
  const { profile } = options;
  return async () => {
    // Large, and only needed where keys are.
    const { defaultProvider } = await import("@aws-sdk/credential-provider-node");
    try {
      // Anew each time: what it read of the files may have been replaced since.
      return await defaultProvider({
        ...(profile === undefined ? {} : { profile }),
        ignoreCache: true,
      })();
    } catch (error) {
      throw notFound(error);
    }
  };
}

/** The text of AWS's error may repeat what a server sent; the name does not. */
function notFound(error: unknown): StoreError {
  const name = error instanceof Error && /^\w{1,64}$/.test(error.name) ? error.name : "an error";
  // What the chain throws where no place has keys; all else came from a place that has some.
  const nowhere = name === "CredentialsProviderError";
  return new StoreError(
    {
      operation: "find",
      object: "AWS credentials",
      what: nowhere ? "no place of AWS's chain has any" : `the chain of AWS failed with ${name}`,
      next: "Check the environment, the profile and the role; AWS's own command says more: aws sts get-caller-identity",
    },
    { retryable: !nowhere },
  );
}
