/**
 * Reports what a replication does to whoever reads its events, each with the position of that moment.
 *
 * @module
 */
import { isPagestreamError, PagestreamError } from "../core/errors.ts";
import { EventStream } from "../core/event-stream.ts";
import type { Position, ReplicationEvent } from "./replication.ts";

/** An event before it gets its position. */
export type NewEvent = DistributiveOmit<ReplicationEvent, "position">;

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** The events of one replication. */
export class EventReporter {
  readonly stream: EventStream<ReplicationEvent> = new EventStream();
  readonly #position: () => Position;

  constructor(position: () => Position) {
    this.#position = position;
  }

  /** Reports to whoever reads now; costs nothing where nobody does. */
  emit(event: NewEvent): void {
    if (!this.stream.hasReaders) return;
    this.stream.emit({ ...event, position: this.#position() } as ReplicationEvent);
  }

  /** Like `emit`, but kept for the first reader where nobody reads yet. */
  announce(event: NewEvent): void {
    this.stream.announce({ ...event, position: this.#position() } as ReplicationEvent);
  }

  /** Reports an error that stops nothing; `operation` and `object` say where it came from. */
  error(error: unknown, operation: string, object: string): void {
    this.emit({ type: "error", error: asPagestreamError(error, operation, object) });
  }

  /** Reports the end, after which every reader's loop ends. */
  close(): void {
    this.emit({ type: "closed" });
    this.stream.close();
  }
}

/** An error of local storage, of the encoder or of the source as what is reported. */
export function asPagestreamError(
  error: unknown,
  operation: string,
  object: string,
): PagestreamError {
  if (isPagestreamError(error)) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new PagestreamError("IO", { operation, object, what, cause: error });
}
