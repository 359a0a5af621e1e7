/**
 * Lets Node run the adapters from their sources: import it before them, which must then be imported dynamically.
 *
 * @module
 */
import { registerHooks } from "node:module";

const entries: Readonly<Record<string, string>> = {
  pagestream: "src/api/index.ts",
  "pagestream/files-kit": "adapters/files/index.ts",
  "pagestream/hold-worker": "src/api/hold-worker.ts",
  "pagestream/ltx": "src/ltx/index.ts",
  "pagestream/transports/store-kit": "src/transports/store-kit.ts",
};

registerHooks({
  resolve(specifier, context, next) {
    const entry = entries[specifier];
    if (entry === undefined) return next(specifier, context);
    return { url: new URL(`../../${entry}`, import.meta.url).href, shortCircuit: true };
  },
});
