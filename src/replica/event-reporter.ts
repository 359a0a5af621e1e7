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

/** Who is told of every event, without a loop that waits for them: a fleet has thousands. */
export interface EventTap {
  /** Told at the moment itself; must not throw. */
  tell(event: ReplicationEvent): void;
}

/** The events of one replication. */
export class EventReporter {
  readonly stream: EventStream<ReplicationEvent>;
  readonly #position: () => Position;
  readonly #tap: EventTap | undefined;

  constructor(
    position: () => Position,
    tap?: EventTap,
    stream: EventStream<ReplicationEvent> = new EventStream(),
  ) {
    this.stream = stream;
    this.#position = position;
    this.#tap = tap;
  }

  /** Reports to whoever reads now; costs nothing where nobody does. */
  emit(event: NewEvent): void {
    if (!this.stream.hasReaders && this.#tap === undefined) return;
    const placed = this.#place(event);
    this.stream.emit(placed);
    this.#tap?.tell(placed);
  }

  /** Like `emit`, but kept for the first reader where nobody reads yet. */
  announce(event: NewEvent): void {
    const placed = this.#place(event);
    this.stream.announce(placed);
    this.#tap?.tell(placed);
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

  #place(event: NewEvent): ReplicationEvent {
    return { ...event, position: this.#position() } as ReplicationEvent;
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
