/**
 * Takes the steps in workerd, one for each request; the time is taken outside.
 *
 * @module
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import sqliteWasm from "@sqlite.org/sqlite-wasm/sqlite3.wasm";
import trampoline from "pagestream/trampoline.wasm";
import { patchWorkerd } from "pagestream/vfs";
import { faultSteps, type Step } from "./steps.ts";

interface Environment {
  readonly REPLICA: string;
  readonly DRIVER: "retry" | "jspi";
}

type Imports = WebAssembly.Imports;
type Done = (instance: WebAssembly.Instance, module: WebAssembly.Module) => void;
type Initialise = (options: object) => ReturnType<typeof sqlite3InitModule>;

patchWorkerd({ trampoline });
Object.assign(globalThis, {
  sqlite3ApiConfig: { disable: { vfs: { opfs: true, "opfs-wl": true } } },
});

let run: ((step: Step) => Promise<number>) | undefined;

// oxlint-disable-next-line import/no-default-export -- workerd asks for it.
export default {
  async fetch(request: Request, { REPLICA, DRIVER }: Environment): Promise<Response> {
    const step = new URL(request.url).pathname.slice(1);
    run ??= faultSteps({
      sqlite3: await (sqlite3InitModule as Initialise)({
        instantiateWasm: (imports: Imports, done: Done) =>
          done(new WebAssembly.Instance(sqliteWasm, imports), sqliteWasm),
      }),
      replica: REPLICA,
      driver: DRIVER,
    });
    return Response.json(step === "ready" ? 0 : await run(step as Step));
  },
};
