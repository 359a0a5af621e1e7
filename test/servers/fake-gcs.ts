/**
 * fake-gcs-server: the JSON interface of Google Cloud Storage in memory. It checks no credentials, and conditions on
 * creation alone.
 *
 * @module
 */
import { type ServerKind, freePorts, tool } from "./server.ts";

/** `endpoint` and `bucket`, which is made. */
export const fakeGcs: ServerKind = {
  name: "fake-gcs",
  programs: [tool("fake-gcs-server")],
  install: "node scripts/tools.mjs fake-gcs-server",
  async start(scratch) {
    const [port] = await freePorts(1);
    const host = `127.0.0.1:${port}`;
    const endpoint = `http://${host}`;
    scratch.spawn(
      tool("fake-gcs-server"),
      (
        `-scheme http -host 127.0.0.1 -port ${port} -backend memory -public-host ${host} ` +
        `-external-url ${endpoint} -log-level warn ` +
        "-cors-headers authorization,content-type,content-range,range,if-match,if-none-match"
      ).split(" "),
    );
    await scratch.answers(`${endpoint}/_internal/healthcheck`);
    const bucket = "pagestream";
    await fetch(`${endpoint}/storage/v1/b?project=p`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name: bucket }),
    });
    return { endpoint, bucket };
  },
};
