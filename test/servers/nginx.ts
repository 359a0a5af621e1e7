/**
 * nginx twice: with dav-ext as the WebDAV dialect that ignores conditions, and as a plain server of files.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts, type ServerKind, tool } from "./server.ts";
import { makeOwned, WEB_USER } from "./shared-folder.ts";

const MODULE = "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so";

/**
 * `endpoint`, `username`, `password` of the WebDAV door; `index` is the endpoint of the plain one, which lists its
 * folder `indexed`, `plain` the same without a listing, `guarded` the same with a password.
 */
export const nginx: ServerKind = {
  name: "nginx",
  programs: [tool("nginx"), MODULE, "/usr/bin/htpasswd"],
  install: "node scripts/tools.mjs nginx apache2",
  async start(scratch) {
    const [dav, index, plain, guarded] = await freePorts(4);
    const [root, temporary, indexed] = await makeOwned(scratch, ["root", "temporary", "indexed"]);
    const passwords = join(scratch.folder, "passwords");
    await scratch.run("/usr/bin/htpasswd", ["-bc", passwords, "app", "s3cret"]);
    const config = join(scratch.folder, "nginx.conf");
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    writeFileSync(
      config,
      `
load_module ${MODULE};
daemon off;
worker_processes 2;
pid ${scratch.folder}/pid;
error_log stderr;
user ${WEB_USER};
events { worker_connections 256; }
http {
  access_log off;
  ${paths.map((name) => `${name}_temp_path ${temporary}/${name};`).join("\n  ")}
  client_max_body_size 1g;
  dav_ext_lock_zone zone=dav:1m;
  add_header Access-Control-Allow-Origin * always;
  add_header Access-Control-Expose-Headers "content-range, etag" always;
  server {
    listen 127.0.0.1:${dav};
    root ${root};
    auth_basic dav;
    auth_basic_user_file ${passwords};
    location / {
      dav_methods PUT DELETE MKCOL COPY MOVE;
      dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
      dav_ext_lock zone=dav;
    }
  }
  server {
    listen 127.0.0.1:${index};
    root ${indexed};
    autoindex on;
  }
  server {
    listen 127.0.0.1:${plain};
    root ${indexed};
  }
  server {
    listen 127.0.0.1:${guarded};
    root ${indexed};
    autoindex on;
    auth_basic files;
    auth_basic_user_file ${passwords};
  }
}
`,
    );
    scratch.spawn(tool("nginx"), ["-c", config, "-e", "stderr"], {
      // Its workers outlive a parent that is killed.
      signal: "SIGTERM",
    });
    const address = (port: number | undefined): string => `http://127.0.0.1:${port}`;
    await scratch.answers(address(dav), (status) => status === 401);
    return {
      endpoint: address(dav),
      username: "app",
      password: "s3cret",
      index: address(index),
      indexed: indexed as string,
      plain: address(plain),
      guarded: address(guarded),
    };
  },
};
