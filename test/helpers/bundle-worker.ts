/**
 * Bundles a Worker as Cloudflare's own tool does, and runs it in workerd.
 *
 * @module
 */
import { build } from "esbuild";
import { Miniflare, type ModuleDefinition } from "miniflare";

/** The modules of a bundled Worker: the script, and the WebAssembly it imports, compiled ahead by the runtime. */
export async function bundleWorker(entry: URL): Promise<ModuleDefinition[]> {
  const { outputFiles } = await build({
    entryPoints: [entry.pathname],
    outdir: "/worker",
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    // The text of a module becomes an import of the file, which is put beside the script.
    loader: { ".wasm": "copy" },
    logLevel: "error",
  });
  return outputFiles
    .map(({ path, contents }): ModuleDefinition => {
      const script = path.endsWith(".js");
      return { type: script ? "ESModule" : "CompiledWasm", path, contents };
    })
    .toSorted((a, b) => Number(b.type === "ESModule") - Number(a.type === "ESModule"));
}

/** What the Worker finds in its environment beside its Durable Object. */
export interface WorkerBindings {
  readonly variables?: Readonly<Record<string, string>>;
  /** A bucket, kept in a folder. */
  readonly r2?: { readonly bucket: string; readonly folder: string };
}

/** Starts workerd with a Worker whose class `Notes` is a Durable Object. */
export function startWorker(modules: ModuleDefinition[], bindings: WorkerBindings): Miniflare {
  const { variables = {}, r2 } = bindings;
  return new Miniflare({
    modules,
    modulesRoot: "/worker",
    compatibilityDate: "2026-07-01",
    durableObjects: { NOTES: "Notes" },
    bindings: { ...variables },
    ...(r2 === undefined ? {} : { r2Buckets: [r2.bucket], r2Persist: r2.folder }),
  });
}
