/**
 * OSS as its own library speaks to it, in front of the S3 of the tests: what real Litestream writes at this door is there at
 * the other, as in OSS itself. Signatures are not checked here; the requests are signed anew for the S3.
 *
 * @module
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { AwsV4Signer } from "aws4fetch";
import { S3Fake } from "./s3-fake.ts";

/** A door that listens. */
export interface OssDoor extends AsyncDisposable {
  /** Address for `endpoint` in Litestream's configuration. */
  readonly endpoint: string;
}

/** Headers of a request that mean the same at both doors. */
const SAME = ["content-type", "content-md5", "range"];

/** Opens a door to an S3 in this process. */
export async function openOssDoor(fake: S3Fake): Promise<OssDoor> {
  const server = createServer((request, response) => {
    void answer();
    async function answer(): Promise<void> {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const { method = "GET", url = "/", headers } = request;
      const asked: Record<string, string> = {};
      for (const [name, value] of Object.entries(headers)) {
        const meta = /^x-oss-meta-(.+)$/.exec(name)?.[1];
        if (meta !== undefined) asked[`x-amz-meta-${meta}`] = String(value);
        else if (SAME.includes(name)) asked[name] = String(value);
      }
      const hasBody = method !== "GET" && method !== "HEAD";
      const body = Buffer.concat(chunks);
      const signed = await new AwsV4Signer({
        ...S3Fake.credentials,
        method,
        url: `http://127.0.0.1${url}`,
        service: "s3",
        region: "us-east-1",
        headers: { ...asked, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
      }).sign();
      const answered = await fake.fetch(signed.url.href, {
        method,
        headers: signed.headers,
        ...(hasBody ? { body } : {}),
      });
      for (const [name, value] of answered.headers) {
        response.setHeader(name.replace(/^x-amz-meta-/, "x-oss-meta-"), value);
      }
      response.writeHead(answered.status);
      response.end(method === "HEAD" ? undefined : Buffer.from(await answered.arrayBuffer()));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
