/**
 * The helper worker that reads for a blocked one.
 *
 * @module
 */
import { httpStore } from "pagestream/transports/http";
import { serveReads } from "pagestream/read-worker";

onmessage = ({ data }: MessageEvent<string>): void => {
  serveReads(globalThis, httpStore(data));
  postMessage("up");
};
