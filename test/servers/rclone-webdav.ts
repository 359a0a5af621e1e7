/**
 * rclone's WebDAV server: the dialect of Go's x/net/webdav, which ignores conditions and refuses under races.
 *
 * @module
 */
import { freePorts, type ServerKind, tool } from "./server.ts";

/** `endpoint`, `username`, `password`. */
export const rcloneWebdav: ServerKind = {
  name: "rclone-webdav",
  programs: [tool("rclone")],
  install: "node scripts/tools.mjs rclone",
  async start(scratch) {
    const [port] = await freePorts(1);
    const root = scratch.make("root");
    const cache = scratch.make("cache");
    const flags = `--addr 127.0.0.1:${port} --user app --pass s3cret --cache-dir ${cache}`;
    scratch.spawn(tool("rclone"), ["serve", "webdav", root, "--config", "", ...flags.split(" ")]);
    const endpoint = `http://127.0.0.1:${port}`;
    await scratch.answers(endpoint, (status) => status === 401);
    return { endpoint, username: "app", password: "s3cret" };
  },
};
