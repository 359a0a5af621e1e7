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
  readonly STEPS: {
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
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

/** A Durable Object: in a plain Worker what a reader has made would belong to the request that opened it. */
export class Steps {
  readonly #environment: Environment;
  #run: ((step: Step) => Promise<number>) | undefined;

  constructor(_state: unknown, environment: Environment) {
    this.#environment = environment;
  }

  async fetch(request: Request): Promise<Response> {
    const { REPLICA: replica, DRIVER: driver } = this.#environment;
    const instantiateWasm = (imports: Imports, done: Done): void =>
      done(new WebAssembly.Instance(sqliteWasm, imports), sqliteWasm);
    this.#run ??= faultSteps({
      sqlite3: await (sqlite3InitModule as Initialise)({ instantiateWasm }),
      replica,
      driver,
    });
    return Response.json(await this.#run(new URL(request.url).pathname.slice(1) as Step));
  }
}

// oxlint-disable-next-line import/no-default-export -- workerd asks for it.
export default {
  fetch(request: Request, { STEPS }: Environment): Promise<Response> {
    return STEPS.get(STEPS.idFromName("the only one")).fetch(request);
  },
};
