/**
 * The shared memory of WAL mode (SQLite's wal-index) among the handles of one process.
 *
 * It exists nowhere but in wasm memory and ends with the last handle that uses it: SQLite then builds it anew from the
 * WAL, as after a crash. There is one thread, so the memory itself needs no barrier.
 *
 * @module
 */
import type { WasmMemory } from "./bind.ts";
import { SQLITE_SHM_EXCLUSIVE, SQLITE_SHM_UNLOCK } from "./constants.ts";
import { VfsError } from "./errors.ts";
import type { WasmPointer } from "./sqlite3.ts";

/** SQLITE_SHM_NLOCK. */
const SLOTS = 8;

/** What xShmMap asks for. */
export interface RegionRequest {
  /** Counts from 0. */
  readonly region: number;
  /** The same for every region. */
  readonly sizeBytes: number;
  /** Whether to make a region that is not there. */
  readonly extend: boolean;
}

/** What xShmLock asks for: `count` slots from `first`, with SQLITE_SHM flags. */
export interface SlotRequest {
  readonly first: number;
  readonly count: number;
  readonly flags: number;
}

/** The shared memory of one path. */
interface Segment {
  readonly regions: WasmPointer[];
  /** Per slot the number of handles that hold it shared; -1 while one holds it exclusively. */
  readonly holders: Int32Array;
  handles: number;
}

/** What one open file holds of its path's segment; a bit per slot. */
interface Attachment {
  readonly path: string;
  readonly segment: Segment;
  shared: number;
  exclusive: number;
}

/** The shared memory of all files of a VFS. */
export class SharedMemory {
  readonly #memory: WasmMemory;
  readonly #segments = new Map<string, Segment>();
  readonly #attached = new Map<WasmPointer, Attachment>();

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  /** Whether any file is attached. */
  get inUse(): boolean {
    return this.#segments.size > 0;
  }

  /** The address of a region, attaching `file` to the memory of `path` first; 0 where there is none and none is made. */
  map(file: WasmPointer, path: string, request: RegionRequest): WasmPointer {
    const { regions } = this.#attach(file, path).segment;
    while (request.extend && regions.length <= request.region) {
      const region = this.#memory.allocate(request.sizeBytes);
      this.#memory.bytes().fill(0, region, region + request.sizeBytes);
      regions.push(region);
    }
    return regions[request.region] ?? 0;
  }

  /** Takes or gives back slots, all or none; false where another handle is in the way (SQLITE_BUSY). */
  lock(file: WasmPointer, request: SlotRequest): boolean {
    const { first, count, flags } = request;
    const attachment = this.#attached.get(file);
    if (attachment === undefined || count < 1 || first < 0 || first + count > SLOTS) {
      throw new VfsError({
        operation: "lock",
        object: "shared memory",
        what: attachment === undefined ? "it is not mapped" : `slots ${first} + ${count} of 8`,
      });
    }
    const mask = ((1 << count) - 1) << first;
    if ((flags & SQLITE_SHM_UNLOCK) !== 0) {
      release(attachment, mask);
      return true;
    }
    return (flags & SQLITE_SHM_EXCLUSIVE) !== 0
      ? lockExclusive(attachment, mask)
      : lockShared(attachment, mask);
  }

  /** Gives up what `file` holds; with the path's last handle the memory is freed. */
  unmap(file: WasmPointer): void {
    const attachment = this.#attached.get(file);
    if (attachment === undefined) return;
    release(attachment, (1 << SLOTS) - 1);
    this.#attached.delete(file);
    const { segment, path } = attachment;
    if (--segment.handles > 0) return;
    for (const region of segment.regions) this.#memory.free(region);
    this.#segments.delete(path);
  }

  #attach(file: WasmPointer, path: string): Attachment {
    const found = this.#attached.get(file);
    if (found !== undefined) return found;
    let segment = this.#segments.get(path);
    if (segment === undefined) {
      segment = { regions: [], holders: new Int32Array(SLOTS), handles: 0 };
      this.#segments.set(path, segment);
    }
    segment.handles++;
    const attachment = { path, segment, shared: 0, exclusive: 0 };
    this.#attached.set(file, attachment);
    return attachment;
  }
}

function* slotsOf(mask: number): Generator<number> {
  for (let slot = 0; slot < SLOTS; slot++) if ((mask & (1 << slot)) !== 0) yield slot;
}

function lockShared(attachment: Attachment, mask: number): boolean {
  const { holders } = attachment.segment;
  const wanted = mask & ~attachment.shared;
  for (const slot of slotsOf(wanted)) if (holders[slot]! < 0) return false;
  for (const slot of slotsOf(wanted)) holders[slot]!++;
  attachment.shared |= wanted;
  return true;
}

function lockExclusive(attachment: Attachment, mask: number): boolean {
  const { holders } = attachment.segment;
  const wanted = mask & ~attachment.exclusive;
  for (const slot of slotsOf(wanted)) if (holders[slot] !== 0) return false;
  for (const slot of slotsOf(wanted)) holders[slot] = -1;
  attachment.exclusive |= wanted;
  return true;
}

function release(attachment: Attachment, mask: number): void {
  const { holders } = attachment.segment;
  for (const slot of slotsOf(mask & attachment.shared)) holders[slot]!--;
  for (const slot of slotsOf(mask & attachment.exclusive)) holders[slot] = 0;
  attachment.shared &= ~mask;
  attachment.exclusive &= ~mask;
}
