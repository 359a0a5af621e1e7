/**
 * The page: runs commands itself or lets a worker run them, as the test asks.
 *
 * @module
 */
import { type Commands, commands } from "./session.ts";

/** Where a command runs. */
export type Place = "page" | "worker";

/** What the test calls in the page. */
export interface PageApi {
  run(place: Place, command: keyof Commands, argument: unknown): Promise<unknown>;
  /** Ends the worker in the midst of whatever it does. */
  terminate(): void;
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

let worker: Worker | undefined;
let requests = 0;
const waiting = new Map<number, Waiting>();

function start(): Worker {
  const started = new Worker(new URL("worker.ts", import.meta.url), { type: "module" });
  started.addEventListener("message", ({ data }: MessageEvent) => {
    const { id, result, error } = data as { id: number; result?: unknown; error?: string };
    const { resolve, reject } = waiting.get(id)!;
    waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  });
  started.addEventListener("error", ({ message }) => {
    for (const { reject } of waiting.values()) reject(new Error(message));
  });
  return started;
}

function inWorker(command: keyof Commands, argument: unknown): Promise<unknown> {
  worker ??= start();
  const id = ++requests;
  const result = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  worker.postMessage({ id, command, argument });
  return result;
}

const api: PageApi = {
  run(place, command, argument) {
    if (place === "worker") return inWorker(command, argument);
    return (commands[command] as (argument: unknown) => Promise<unknown>)(argument);
  },
  terminate() {
    worker?.terminate();
    worker = undefined;
  },
};
Object.assign(globalThis, { api });
