/**
 * The suites of `npm test`, in the order they run: the fastest first.
 *
 * A suite is a list of parts. `vitest` parts name a project of `vitest.config.ts`; `script` parts report through
 * `report.mjs`; `command` parts are one test each, passed when the program ends with code 0. Where tests mostly wait, for a
 * browser or a server, `workers` of their files run at a time instead of two.
 *
 * @module
 */

/**
 * @typedef {object} Suite
 * @property {string} name
 * @property {readonly ({ vitest: string, coverage?: boolean, workers?: number } | { script: string } | { command: readonly string[], label: string })[]} parts
 * @property {boolean} [built] needs `dist`
 * @property {readonly string[]} [needs] tools without which the suite is skipped
 * @property {readonly string[]} [wants] tools that some of its tests use
 * @property {string} [beside] the suite before it, while which it runs: it mostly waits, and the other minds no company
 */

/** @type {readonly Suite[]} */
export const SUITES = [
  { name: "checks", parts: [{ script: "scripts/checks/main.ts" }, { vitest: "checks" }] },
  {
    name: "types",
    parts: [
      { command: ["node_modules/typescript/bin/tsc", "-b"], label: "every reference compiles" },
    ],
  },
  { name: "unit", parts: [{ vitest: "unit", coverage: true }], wants: ["python"] },
  { name: "follower", parts: [{ vitest: "follower" }], wants: ["python"] },
  { name: "http", parts: [{ vitest: "http" }] },
  { name: "readers", parts: [{ vitest: "readers" }], wants: ["litestream"] },
  { name: "package", parts: [{ script: "scripts/package/main.ts" }], built: true },
  { name: "command", parts: [{ vitest: "command" }], built: true, wants: ["litestream"] },
  { name: "examples", parts: [{ script: "scripts/examples.ts" }], built: true },
  {
    name: "runtime",
    parts: [{ script: "scripts/runtimes.ts" }],
    built: true,
    needs: ["node22", "node26"],
    wants: ["weed", "azurite-blob", "fake-gcs-server", "rclone", "nginx", "apache2"],
  },
  {
    name: "interop",
    parts: [{ vitest: "interop" }],
    built: true,
    needs: ["litestream"],
    wants: ["python"],
  },
  {
    name: "stores",
    parts: [{ vitest: "stores", workers: 3 }],
    built: true,
    wants: (
      "litestream litestream03 litestream-vfs.so sqlite3 weed radosgw fake-gcs-server azurite-blob " +
      "nats-server sshd rclone apache2 nginx"
    ).split(" "),
  },
  {
    name: "workers",
    parts: [{ vitest: "workers" }],
    built: true,
    wants: ["weed", "azurite-blob", "fake-gcs-server", "rclone", "nginx", "apache2"],
  },
  {
    name: "browser",
    parts: [{ vitest: "browser", workers: 3 }],
    built: true,
    needs: ["chromium"],
    wants: ["weed", "azurite-blob", "fake-gcs-server", "rclone", "nginx", "apache2"],
  },
  { name: "fuzz", parts: [{ vitest: "fuzz" }], built: true, wants: ["python"] },
  { name: "simulation", parts: [{ vitest: "simulation" }] },
  // Time in the simulation is virtual, and its applications wait for each other's locks.
  { name: "soak", parts: [{ vitest: "soak" }], beside: "simulation" },
];
