/**
 * Runs the commands that a page posts.
 *
 * @module
 */
import { commands } from "./session.ts";

self.addEventListener("message", (event: MessageEvent<WorkerRequest>) => {
  const { id, command, argument } = event.data;
  const run = commands[command] as (argument: unknown) => Promise<unknown>;
  run(argument).then(
    (result) => self.postMessage({ id, result }),
    (error: unknown) => self.postMessage({ id, error: String(error) }),
  );
});

/** What a page posts. */
export interface WorkerRequest {
  readonly id: number;
  readonly command: keyof typeof commands;
  readonly argument: unknown;
}
