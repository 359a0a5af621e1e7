import { defineConfig } from "vitest/config";

const source = (path: string): string => new URL(path, import.meta.url).pathname;

/** Tests that take more time or memory than a change may cost. */
const nightly = process.env["PAGESTREAM_NIGHTLY"] === "1" ? [] : ["**/*.nightly.test.ts"];

/** Suites that run by themselves under `npm test`; each is a folder below `test`. */
const folders = [
  "browser",
  "checks",
  "command",
  "follower",
  "fuzz",
  "http",
  "interop",
  "readers",
  "soak",
  "stores",
  "workers",
];

/** Suites that talk to servers, which run as long as the suite does. */
const withServers = ["stores"];

/** Suites that start the command again and again: what Node has compiled once is kept for the next process. */
const withCommand = ["command", "interop"];
const compiled = source("./node_modules/.cache/compiled");

export default defineConfig({
  resolve: {
    // Tests run on the sources, never on what an earlier build left.
    alias: [
      { find: /^pagestream$/, replacement: source("./src/api/index.ts") },
      { find: /^pagestream\/vfs$/, replacement: source("./src/api/vfs.ts") },
      { find: /^pagestream\/(ltx|testing|http)$/, replacement: source("./src/$1/index.ts") },
      { find: /^pagestream\/transports\/([\w-]+)$/, replacement: source("./src/transports/$1.ts") },
      { find: /^pagestream\/(deno|bun)$/, replacement: source("./adapters/$1/index.ts") },
      { find: /^pagestream\/files-kit$/, replacement: source("./adapters/files/index.ts") },
      { find: /^@pagestream\/node$/, replacement: source("./adapters/node/index.ts") },
    ],
  },
  test: {
    exclude: ["**/node_modules/**", "**/dist/**", ...nightly],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: { name: "unit", include: ["src/**/*.test.ts", "adapters/**/*.test.ts"] },
      },
      ...folders.map((name) => ({
        extends: true as const,
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          ...(withServers.includes(name) ? { globalSetup: ["test/servers/global-setup.ts"] } : {}),
          ...(withCommand.includes(name) ? { env: { NODE_COMPILE_CACHE: compiled } } : {}),
        },
      })),
      {
        extends: true,
        test: { name: "simulation", include: ["test/sim/**/*.test.ts"] },
      },
    ],
    coverage: {
      provider: "v8",
      reporter: ["text-summary", "json-summary", "html"],
      reportsDirectory: "coverage",
      include: ["src/**/*.ts", "adapters/*/**/*.ts"],
      // Coverage looks at the unit suite alone. The command runs in processes of its own and is held by test/command;
      // SFTP talks to a real OpenSSH in test/stores.
      exclude: [
        "**/*.test.ts",
        "**/*.d.ts",
        "**/dist/**",
        "adapters/node/cli/**",
        "adapters/node/sftp{,-connection,-read,-tree,-write}.ts",
      ],
      thresholds: {
        "src/{core,ltx}/**": { lines: 95 },
        "src/{transports,vfs,replica,api,http,testing}/**": { lines: 85 },
        "adapters/**": { lines: 85 },
      },
    },
  },
});
