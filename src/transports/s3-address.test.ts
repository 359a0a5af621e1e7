import { expect, test } from "vitest";
import { isPagestreamError } from "../core/errors.ts";
import { s3Address, type S3AddressOptions, s3Provider } from "./s3-address.ts";

function url(options: S3AddressOptions, key = "k"): string {
  const address = s3Address(options);
  return address.url(address.region, key);
}

function refusal(options: S3AddressOptions): string {
  try {
    return url(options);
  } catch (error) {
    return isPagestreamError(error, "INVALID_ARGUMENT") ? error.message : String(error);
  }
}

test("s3Address() puts the bucket into the host on AWS, and into the path of an endpoint", () => {
  expect(url({ bucket: "b-1" })).toBe("https://b-1.s3.us-east-1.amazonaws.com/k");
  expect(url({ bucket: "b-1", region: "cn-north-1" })).toBe(
    "https://b-1.s3.cn-north-1.amazonaws.com.cn/k",
  );
  expect(url({ bucket: "b-1", forcePathStyle: true })).toBe(
    "https://s3.us-east-1.amazonaws.com/b-1/k",
  );
  // The certificate covers no dots.
  expect(url({ bucket: "b.1" })).toBe("https://s3.us-east-1.amazonaws.com/b.1/k");
  expect(url({ bucket: "b-1", endpoint: "https://s3.example" })).toBe("https://s3.example/b-1/k");
  expect(url({ bucket: "b-1", endpoint: "https://s3.example", forcePathStyle: false })).toBe(
    "https://b-1.s3.example/k",
  );
  expect(url({ bucket: "b-1", endpoint: "https://x.supabase.co/storage/v1/s3/" })).toBe(
    "https://x.supabase.co/storage/v1/s3/b-1/k",
  );
  expect(s3Address({ bucket: "b-1", endpoint: "https://s3.example" }).url("r")).toBe(
    "https://s3.example/b-1",
  );
});

test("s3Address() encodes every byte of a key but the unreserved ones and the slash", () => {
  expect(url({ bucket: "bk", endpoint: "https://h" }, "a b/+%2e!'()*/ü~")).toBe(
    "https://h/bk/a%20b/%2B%252e%21%27%28%29%2A/%C3%BC~",
  );
});

test("s3Address() speaks plain HTTP to local hosts alone, unless told otherwise", () => {
  const scheme = (endpoint: string): string => new URL(url({ bucket: "bk", endpoint })).protocol;
  for (const host of ["localhost:9000", "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1"]) {
    expect([host, scheme(host)]).toEqual([host, "http:"]);
  }
  for (const host of ["172.31.9.9:9000", "nas.local", "s3.localhost"]) {
    expect([host, scheme(host)]).toEqual([host, "http:"]);
  }
  for (const host of ["s3.example", "172.32.0.1", "10.example", "192.168.example.org"]) {
    expect([host, scheme(host)]).toEqual([host, "https:"]);
  }
  expect(scheme("http://s3.example")).toBe("http:");
  expect(scheme("https://localhost")).toBe("https:");
});

test("s3Address() addresses access points by their ARN", () => {
  const arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
  expect(url({ bucket: arn })).toBe(
    "https://mine-123456789012.s3-accesspoint.eu-west-1.amazonaws.com/k",
  );
  expect(s3Address({ bucket: arn }).region).toBe("eu-west-1");
  expect(url({ bucket: arn, endpoint: "https://vpce.example" })).toBe(
    "https://mine-123456789012.vpce.example/k",
  );
  expect(refusal({ bucket: arn, forcePathStyle: true })).toContain(
    "cannot be addressed in the path",
  );
  for (const other of [
    "arn:aws:s3::123456789012:accesspoint/mine.mrap",
    "arn:aws:s3-outposts:eu-west-1:123456789012:outpost/o/accesspoint/mine",
    "arn:aws:s3:eu-west-1:123456789012:bucket/b",
  ]) {
    expect(refusal({ bucket: other })).toContain("no ARN of an access point");
  }
});

test("s3Address() refuses what cannot be an address, and shows no password", () => {
  for (const bucket of ["", "a/b", "..", "a b", "b?x", "b\n"]) {
    expect(refusal({ bucket })).toContain("no name of a bucket");
  }
  expect(refusal({ bucket: "bk", region: "eu/../x" })).toContain("is no region");
  for (const endpoint of [
    "https://u:hunter2@h",
    "ftp://h",
    "https://h?token=hunter2",
    "https://",
  ]) {
    expect(refusal({ bucket: "bk", endpoint })).toContain("the endpoint of bk");
    expect(refusal({ bucket: "bk", endpoint })).not.toContain("hunter2");
  }
  expect(refusal({ bucket: "B_k", endpoint: "https://h", forcePathStyle: false })).toContain(
    "part of a host name",
  );
});

test("s3Provider() knows who runs a host, and what is peculiar to them", () => {
  const known = (host: string): unknown => {
    const { name, region, concurrency, contentMd5, headers } = s3Provider(host);
    return [name, region, concurrency, contentMd5, Object.keys(headers).join()];
  };
  const usual = (name: string, region = "us-east-1"): unknown => [name, region, 5, true, ""];
  const tigris = ["Tigris", "auto", 5, false, "x-tigris-consistent"];
  expect(known("fly.storage.tigris.dev")).toEqual(tigris);
  expect(known("t3.storage.dev")).toEqual(tigris);
  expect(known("x.t3.storage.dev")).toEqual(usual("S3-compatible"));
  expect(known("acc.r2.cloudflarestorage.com")).toEqual(["Cloudflare R2", "auto", 2, true, ""]);
  expect(known("acc.eu.r2.cloudflarestorage.com")).toEqual(["Cloudflare R2", "auto", 2, true, ""]);
  expect(known("s3.us-west-004.backblazeb2.com")).toEqual(usual("Backblaze B2", "us-west-004"));
  expect(known("s3.filebase.com")).toEqual(usual("Filebase"));
  expect(known("abc.supabase.co")).toEqual(usual("Supabase"));
  expect(known("fsn1.your-objectstorage.com")).toEqual(usual("Hetzner", "fsn1"));
  expect(known("nyc3.digitaloceanspaces.com")).toEqual(usual("DigitalOcean", "nyc3"));
  expect(known("s3.fr-par.scw.cloud")).toEqual(usual("Scaleway", "fr-par"));
  expect(known("s3.eu-central-2.wasabisys.com")).toEqual(usual("Wasabi", "eu-central-2"));
  expect(known("s3.eu-west-1.amazonaws.com")).toEqual(usual("AWS", "eu-west-1"));
  expect(known("s3.amazonaws.com")).toEqual(usual("AWS"));
  expect(known("storage.googleapis.com")).toEqual(usual("Google", "auto"));
  expect(known("bucket.storage.googleapis.com")).toEqual(usual("S3-compatible"));
  expect(known("storage-download.googleapis.com")).toEqual(usual("Google", "auto"));
  expect(known("localhost")).toEqual(usual("S3-compatible"));
  expect(known("evilr2.cloudflarestorage.com.example")).toEqual(usual("S3-compatible"));
});
