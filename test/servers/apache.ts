/**
 * Apache's mod_dav: the dialect that honours conditions, with doors for Basic and for Digest.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts, type ServerKind, tool } from "./server.ts";
import { makeOwned, WEB_USER } from "./shared-folder.ts";

const MODULES =
  "mpm_event authn_core authn_file authz_core authz_user auth_basic auth_digest autoindex dav dav_fs " +
  "dir headers mime rewrite setenvif";

/** The rule of `docs/stores/webdav.md`: pages of any origin are let in, and may ask first without credentials. */
const CORS = `
  RewriteEngine On
  RewriteCond %{REQUEST_METHOD} =OPTIONS
  RewriteCond %{HTTP:Access-Control-Request-Method} .
  RewriteRule .* - [R=204,L]
  Header always set Access-Control-Allow-Origin "*"
  Header always set Access-Control-Allow-Methods "GET, HEAD, PUT, DELETE, PROPFIND, PROPPATCH, MKCOL, MOVE"
  Header always set Access-Control-Allow-Headers "authorization, content-type, depth, destination, overwrite, range, if-match, if-none-match"
  Header always set Access-Control-Expose-Headers "content-range, content-encoding, etag, www-authenticate"
  Header always set Access-Control-Max-Age "600"
`;

/**
 * `endpoint`, `username`, `password`; `digest` is the endpoint of another root, which asks for Digest; `index` that of
 * pages that list the folder `indexed`, `shared` that of pages that list what lies behind `endpoint`.
 */
export const apache: ServerKind = {
  name: "apache",
  programs: [tool("apache2"), "/usr/bin/htpasswd"],
  install: "node scripts/tools.mjs apache2",
  async start(scratch) {
    const [basic, digest, index, shared] = await freePorts(4);
    const [root, digestRoot, lock, indexed] = await makeOwned(scratch, [
      "root",
      "digest",
      "lock",
      "indexed",
    ]);
    const passwords = join(scratch.folder, "passwords");
    await scratch.run("/usr/bin/htpasswd", ["-bc", passwords, "app", "s3cret"]);
    const digestPasswords = join(scratch.folder, "digest-passwords");
    // Not by htdigest, which asks a terminal for the password.
    const hash = createHash("md5").update("app:dav:s3cret").digest("hex");
    writeFileSync(digestPasswords, `app:dav:${hash}\n`);
    const config = join(scratch.folder, "apache.conf");
    writeFileSync(
      config,
      `
${MODULES.split(" ")
  .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`)
  .join("\n")}
ServerName localhost
ServerRoot ${scratch.folder}
DefaultRuntimeDir ${scratch.folder}
Mutex file:${lock} default
PidFile ${scratch.folder}/pid
ErrorLog ${scratch.folder}/error.log
TypesConfig /etc/mime.types
User ${WEB_USER}
StartServers 1
ThreadsPerChild 64
MaxRequestWorkers 64
AsyncRequestWorkerFactor 16
DavLockDB ${lock}/db
KeepAliveTimeout 15
MaxKeepAliveRequests 0
<Directory ${scratch.folder}>
  Require all denied
</Directory>
Listen 127.0.0.1:${basic}
<VirtualHost 127.0.0.1:${basic}>
  DocumentRoot ${root}
  ${CORS}
  <Directory ${root}>
    Dav On
    AuthType Basic
    AuthName dav
    AuthUserFile ${passwords}
    Require valid-user
  </Directory>
</VirtualHost>
Listen 127.0.0.1:${digest}
<VirtualHost 127.0.0.1:${digest}>
  DocumentRoot ${digestRoot}
  <Directory ${digestRoot}>
    Dav On
    AuthType Digest
    AuthName dav
    AuthUserFile ${digestPasswords}
    Require valid-user
  </Directory>
</VirtualHost>
Listen 127.0.0.1:${index}
<VirtualHost 127.0.0.1:${index}>
  DocumentRoot ${indexed}
  <Directory ${indexed}>
    Options Indexes
    IndexOptions FancyIndexing
    Require all granted
  </Directory>
</VirtualHost>
Listen 127.0.0.1:${shared}
<VirtualHost 127.0.0.1:${shared}>
  DocumentRoot ${root}
  ${CORS}
  <Directory ${root}>
    Options Indexes
    IndexOptions FancyIndexing
    Require all granted
  </Directory>
</VirtualHost>
`,
    );
    scratch.spawn(tool("apache2"), ["-DFOREGROUND", "-f", config], {
      // Its workers outlive a parent that is killed.
      signal: "SIGTERM",
    });
    const endpoint = `http://127.0.0.1:${basic}`;
    await scratch.answers(endpoint, (status) => status === 401);
    return {
      endpoint,
      username: "app",
      password: "s3cret",
      digest: `http://127.0.0.1:${digest}`,
      index: `http://127.0.0.1:${index}`,
      indexed: indexed as string,
      shared: `http://127.0.0.1:${shared}`,
    };
  },
};
