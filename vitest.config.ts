import { defineConfig } from "vitest/config";

const source = (path: string): string => new URL(path, import.meta.url).pathname;

export default defineConfig({
  resolve: {
    alias: [
      { find: /^pagestream$/, replacement: source("./src/api/index.ts") },
      { find: /^pagestream\/(ltx|vfs|testing)$/, replacement: source("./src/$1/index.ts") },
      { find: /^pagestream\/transports\/(\w+)$/, replacement: source("./src/transports/$1.ts") },
      { find: /^@pagestream\/node$/, replacement: source("./adapters/node/index.ts") },
    ],
  },
  test: {
    include: ["src/**/*.test.ts", "adapters/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**"],
    testTimeout: 60_000,
    maxWorkers: 2,
  },
});
