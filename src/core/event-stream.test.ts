import { describe, expect, test } from "vitest";
import { EventStream } from "./event-stream.ts";

describe("EventStream", () => {
  test("gives each reader every event from when it began, and ends them on close()", async () => {
    const stream = new EventStream<number>();
    stream.emit(0);
    const first = stream[Symbol.asyncIterator]();
    stream.emit(1);
    const second = stream[Symbol.asyncIterator]();
    stream.emit(2);
    expect(await first.next()).toEqual({ done: false, value: 1 });
    expect(await first.next()).toEqual({ done: false, value: 2 });
    expect(await second.next()).toEqual({ done: false, value: 2 });
    const waiting = second.next();
    stream.emit(3);
    expect(await waiting).toEqual({ done: false, value: 3 });
    stream.close();
    expect(await first.next()).toEqual({ done: false, value: 3 });
    expect(await first.next()).toEqual({ done: true, value: undefined });
    expect(await second.next()).toEqual({ done: true, value: undefined });
  });

  test("announce() keeps an event for the first reader, emit() does not", async () => {
    const stream = new EventStream<number>();
    stream.emit(1);
    stream.announce(2);
    const first = stream[Symbol.asyncIterator]();
    const second = stream[Symbol.asyncIterator]();
    stream.announce(3);
    expect(await first.next()).toEqual({ done: false, value: 2 });
    expect(await first.next()).toEqual({ done: false, value: 3 });
    expect(await second.next()).toEqual({ done: false, value: 3 });
  });

  test("wakes a waiting reader on close()", async () => {
    const stream = new EventStream<number>();
    const waiting = stream[Symbol.asyncIterator]().next();
    stream.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  test("forgets a reader that leaves its loop", async () => {
    const stream = new EventStream<number>();
    const loop = (async () => {
      for await (const event of stream) if (event === 2) return event;
      return 0;
    })();
    await Promise.resolve();
    expect(stream.hasReaders).toBe(true);
    stream.emit(1);
    stream.emit(2);
    expect(await loop).toBe(2);
    expect(stream.hasReaders).toBe(false);
  });

  test("drops the oldest events of a reader that does not keep up", async () => {
    const stream = new EventStream<number>();
    const reader = stream[Symbol.asyncIterator]();
    for (let i = 0; i < 5_000; i++) stream.emit(i);
    expect((await reader.next()).value).toBe(5_000 - 4_096);
  });
});
