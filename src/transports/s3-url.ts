/**
 * What the host of an `s3://` URL says: by Litestream's table, in this order.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";

/** A bucket, and where it is served. */
export interface S3Location {
  readonly bucket: string;
  readonly path: string;
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly forcePathStyle?: boolean | undefined;
}

interface HostForm {
  /** Groups: bucket, region. */
  readonly host: RegExp;
  readonly endpoint?: (region: string) => string;
  readonly forcePathStyle?: boolean;
}

const FORMS: readonly HostForm[] = [
  { host: /^(.+)\.s3(?:\.([^.]+))?\.amazonaws\.com$/ },
  {
    host: /^(.+)\.([^.]+)\.digitaloceanspaces\.com$/,
    endpoint: (region) => `https://${region}.digitaloceanspaces.com`,
    forcePathStyle: false,
  },
  {
    host: /^(.+)\.s3\.([^.]+)\.backblazeb2\.com$/,
    endpoint: (region) => `https://s3.${region}.backblazeb2.com`,
    forcePathStyle: true,
  },
  // Addressed in the path, as the provider asks for.
  {
    host: /^(.+)\.s3\.filebase\.com$/,
    endpoint: () => "https://s3.filebase.com",
    forcePathStyle: true,
  },
  {
    host: /^(.+)\.s3\.([^.]+)\.scw\.cloud$/,
    endpoint: (region) => `https://s3.${region}.scw.cloud`,
    forcePathStyle: false,
  },
];

/** Reads the host and the path of a URL; `shown` is the URL for messages. */
export function s3Location(host: string, path: string, shown: string): S3Location {
  if (/^arn:/i.test(host)) {
    return { bucket: host, path, region: host.split(":")[3] || undefined };
  }
  if (host.includes(":") && !host.includes(".com")) {
    const dot = host.indexOf(".");
    if (dot < 1) throw noBucket(shown);
    const endpoint = `http://${host.slice(dot + 1)}`;
    const bucket = host.slice(0, dot);
    return { bucket, path, region: "us-east-1", endpoint, forcePathStyle: true };
  }
  if (host === "filebase.com") {
    const [bucket = "", ...rest] = path.split("/");
    if (bucket === "") throw noBucket(shown);
    const endpoint = "https://s3.filebase.com";
    return { bucket, path: rest.join("/"), endpoint, forcePathStyle: true };
  }
  for (const { host: form, endpoint, forcePathStyle } of FORMS) {
    const match = form.exec(host);
    if (match === null) continue;
    const [, bucket = "", region] = match;
    return { bucket, path, region, endpoint: endpoint?.(region ?? ""), forcePathStyle };
  }
  if (host === "") throw noBucket(shown);
  return { bucket: host, path };
}

function noBucket(shown: string): InvalidArgumentError {
  return new InvalidArgumentError({
    operation: "use",
    object: shown,
    what: "bucket required for s3 replica",
    next: "Write it like s3://BUCKET/path, s3://BUCKET/path?endpoint=HOST:PORT or s3://BUCKET.HOST:PORT/path",
  });
}
