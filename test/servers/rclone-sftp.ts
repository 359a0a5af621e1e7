/**
 * The SFTP server of rclone: passwords, no hard links, and renames that overwrite.
 *
 * @module
 */
import { freePorts, type ServerKind, tool } from "./server.ts";
import { greets } from "./sshd.ts";

/** `host`, `port`, `user`, `password`, `root` (the directory it serves). */
export const rcloneSftp: ServerKind = {
  name: "rclone-sftp",
  programs: [tool("rclone")],
  install: "node scripts/tools.mjs rclone",
  async start(scratch) {
    const [port] = (await freePorts(1)) as [number];
    const root = scratch.make("files");
    scratch.spawn(
      tool("rclone"),
      `serve sftp ${root} --addr 127.0.0.1:${port} --user app --pass s3cret`.split(" "),
      // It keeps the key it makes for itself there.
      { env: { XDG_CACHE_HOME: scratch.make("cache"), RCLONE_CONFIG: "/dev/null" } },
    );
    await scratch.ready(() => greets(port));
    return { host: "127.0.0.1", port: String(port), user: "app", password: "s3cret", root };
  },
};
