/**
 * Where a bucket answers, and what is peculiar to who runs it.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { checkEndpoint, encodePath, isLocalHost, withScheme } from "./location.ts";

/** What tells where a bucket is. */
export interface S3AddressOptions {
  /** Name of the bucket, or the ARN of an access point of it. */
  readonly bucket: string;
  /** Where the bucket lies. Learned from the first answer where this is wrong. @default by the endpoint, else "us-east-1" */
  readonly region?: string | undefined;
  /** Address of a service other than AWS; `https://` unless it says otherwise or is a local host. @default AWS */
  readonly endpoint?: string | undefined;
  /** The bucket in the path instead of in the host name. @default true where an endpoint is given */
  readonly forcePathStyle?: boolean | undefined;
}

/** What is peculiar to a provider, unless the user says otherwise. */
export interface S3Provider {
  /** As documents name it. */
  readonly name: string;
  /** Region where none is given. */
  readonly region: string;
  /** Parts of one upload in flight. */
  readonly concurrency: number;
  /** Whether DeleteObjects carries Content-MD5. */
  readonly contentMd5: boolean;
  /** Headers of every request, signed. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A bucket as requests address it. */
export interface S3Address {
  /** The first region to sign for. */
  readonly region: string;
  /** What is peculiar to who runs it. */
  readonly provider: S3Provider;
  /** Whether what is sent is safe from eavesdroppers, or does not leave the machine or the private network. */
  readonly private: boolean;
  /** The bucket as a URL for messages. */
  readonly description: string;
  /** The address of a whole key, or of the bucket. Without a query. */
  url(region: string, key?: string): string;
}

const PLAIN = { concurrency: 5, contentMd5: true, headers: {} };

/** Providers that a host name tells. A group of the pattern is the region; the first that matches counts. */
const PROVIDERS: readonly (Omit<S3Provider, "region"> & {
  readonly host: RegExp;
  readonly region?: string;
})[] = [
  {
    ...PLAIN,
    name: "Tigris",
    host: /^(?:fly\.storage\.tigris\.dev|t3\.storage\.dev)$/,
    region: "auto",
    contentMd5: false,
    // Without it a read may come from a cache that has not seen the last write.
    headers: { "x-tigris-consistent": "true" },
  },
  {
    ...PLAIN,
    name: "Cloudflare R2",
    host: /\.r2\.cloudflarestorage\.com$/,
    region: "auto",
    concurrency: 2,
  },
  { ...PLAIN, name: "Backblaze B2", host: /(?:^s3\.([a-z0-9-]+))?\.backblazeb2\.com$/ },
  { ...PLAIN, name: "Filebase", host: /^s3\.filebase\.com$/ },
  { ...PLAIN, name: "Supabase", host: /\.supabase\.co$/ },
  { ...PLAIN, name: "Hetzner", host: /^(?:([a-z0-9-]+))?.*\.your-objectstorage\.com$/ },
  { ...PLAIN, name: "DigitalOcean", host: /^(?:([a-z0-9-]+))?.*\.digitaloceanspaces\.com$/ },
  { ...PLAIN, name: "Scaleway", host: /(?:^s3\.([a-z0-9-]+))?\.scw\.cloud$/ },
  { ...PLAIN, name: "Wasabi", host: /(?:^s3\.([a-z0-9-]+))?\.wasabisys\.com$/ },
  { ...PLAIN, name: "AWS", host: /(?:^s3[.-]([a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?$/ },
  {
    ...PLAIN,
    name: "Google",
    host: /^(?:[^.]*-)?storage(?:-[^.]*)?(?:\.(?!(?:[^.]*-)?storage(?:-[^.]*)?\.)[^.]+)*\.googleapis\.com$/,
    region: "auto",
  },
];

const DEFAULT_REGION = "us-east-1";

/** The provider of a host name. */
export function s3Provider(host: string): S3Provider {
  for (const { host: pattern, region, ...provider } of PROVIDERS) {
    const match = pattern.exec(host);
    if (match !== null) return { ...provider, region: region ?? match[1] ?? DEFAULT_REGION };
  }
  return { ...PLAIN, name: "S3-compatible", region: DEFAULT_REGION };
}

/** Whether a text can be a region. What a server names is checked: it becomes a part of the host. */
export function isRegion(text: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,62}$/i.test(text);
}

/** Works the options out; `InvalidArgumentError` where they cannot work. */
export function s3Address(options: S3AddressOptions): S3Address {
  const { bucket, region, forcePathStyle } = options;
  if (region !== undefined && !isRegion(region)) refuse(bucket, `"${region}" is no region`);
  const accessPoint = bucket.startsWith("arn:") ? parseArn(bucket) : undefined;
  if (accessPoint === undefined && !/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket)) {
    refuse(JSON.stringify(bucket.slice(0, 80)), "this is no name of a bucket");
  }
  if (accessPoint !== undefined && forcePathStyle === true) {
    refuse(bucket, "an access point cannot be addressed in the path");
  }
  const label = accessPoint?.label ?? bucket;
  if (options.endpoint === undefined) {
    const service = accessPoint === undefined ? "s3" : "s3-accesspoint";
    // The certificate of AWS covers one label.
    const inPath = forcePathStyle ?? (accessPoint === undefined && !isHostLabel(bucket));
    return {
      region: region ?? accessPoint?.region ?? DEFAULT_REGION,
      provider: { ...PLAIN, name: "AWS", region: DEFAULT_REGION },
      private: true,
      description: `s3://${bucket}`,
      url(at, key) {
        const host = `${service}.${at}.amazonaws.com${at.startsWith("cn-") ? ".cn" : ""}`;
        return addressOf(new URL(`https://${host}`), { label, inPath, key });
      },
    };
  }
  const base = parseEndpoint(options.endpoint, bucket);
  const provider = s3Provider(base.hostname);
  const inPath = forcePathStyle ?? accessPoint === undefined;
  if (!inPath && !/^[a-z0-9][a-z0-9.-]*$/.test(label)) {
    refuse(bucket, "this name of a bucket cannot be a part of a host name", "Use forcePathStyle");
  }
  return {
    region: region ?? accessPoint?.region ?? provider.region,
    provider,
    private: base.protocol === "https:" || isLocalHost(base.hostname),
    description: addressOf(base, { label, inPath }).replace(/\/$/, ""),
    url: (_region, key) => addressOf(base, { label, inPath, key }),
  };
}

function addressOf(
  base: URL,
  place: { readonly label: string; readonly inPath: boolean; readonly key?: string | undefined },
): string {
  const { label, inPath, key } = place;
  const host = inPath ? base.host : `${label}.${base.host}`;
  const path = [...(inPath ? [label] : []), ...(key === undefined ? [] : [key])].join("/");
  return `${base.protocol}//${host}${base.pathname.replace(/\/+$/, "")}/${encodePath(path)}`;
}

function isHostLabel(bucket: string): boolean {
  return /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(bucket);
}

function parseArn(arn: string): { readonly region: string; readonly label: string } {
  const match = /^arn:aws[a-z-]*:s3:([a-z0-9-]+):(\d{12}):accesspoint[/:]([a-z0-9-]+)$/.exec(arn);
  if (match === null) {
    refuse(
      arn.slice(0, 160),
      "this is no ARN of an access point in one region",
      "Write arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME; access points of several regions, Outposts and Object Lambda are not supported",
    );
  }
  const [, region, account, name] = match as unknown as [string, string, string, string];
  return { region, label: `${name}-${account}` };
}

function parseEndpoint(endpoint: string, bucket: string): URL {
  return new URL(checkEndpoint(withScheme(endpoint.trim()), bucket));
}

function refuse(object: string, what: string, next?: string): never {
  throw new InvalidArgumentError({ operation: "address", object, what, next });
}
