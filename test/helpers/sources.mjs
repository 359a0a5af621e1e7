/**
 * Lets a program run on the sources, as tests do: `node --import ./test/helpers/sources.mjs program.ts`.
 *
 * @module
 */
import { registerHooks } from "node:module";

/** The entries of `vitest.config.ts`. */
const ENTRIES = [
  [/^pagestream$/, "src/api/index.ts"],
  [/^pagestream\/vfs$/, "src/api/vfs.ts"],
  [/^pagestream\/(ltx|testing)$/, "src/$1/index.ts"],
  [/^pagestream\/transports\/([\w-]+)$/, "src/transports/$1.ts"],
  [/^pagestream\/files-kit$/, "adapters/files/index.ts"],
  [/^@pagestream\/node$/, "adapters/node/index.ts"],
];

const root = new URL("../../", import.meta.url);

registerHooks({
  resolve(specifier, context, next) {
    for (const [pattern, path] of ENTRIES) {
      if (pattern.test(specifier)) {
        return next(new URL(specifier.replace(pattern, path), root).href, context);
      }
    }
    return next(specifier, context);
  },
});
