/**
 * One captured database of the fuzz: its source, its replica, and the images that are taken of it.
 *
 * @module
 */
import type { CommitSource, DatabaseImage, PrepareMode } from "../../src/core/commit-source.ts";
import { ImageOverrunError, isPagestreamError } from "../../src/core/errors.ts";
import { attachCapture, type AttachedCapture } from "../../src/vfs/attach-capture.ts";
import type { CaptureVfs } from "../../src/vfs/capture-vfs.ts";
import type { Sqlite3, Sqlite3Database } from "../../src/vfs/sqlite3.ts";
import { EventReplica, same } from "./capture-replica.ts";

/** How a database is captured. */
export interface WatchOptions {
  readonly sqlite3: Sqlite3;
  /** The VFS it is captured by; `attachCapture` does it where this is left out. */
  readonly capture: CaptureVfs | undefined;
  readonly schema: "main" | "other";
  readonly path: string;
  readonly prepare: PrepareMode | undefined;
  /** The bytes of a database as of its last commit, not by way of SQLite. */
  readonly read: (path: string) => Uint8Array | undefined;
}

/** A captured database; it is closed, opened and captured anew now and then. */
export class Watched {
  readonly replica: EventReplica;
  readonly path: string;
  readonly schema: string;
  source!: CommitSource;
  /** Images that were asked for, and those among them that were overrun. */
  images = 0;
  overruns = 0;
  readonly #options: WatchOptions;
  #attached: AttachedCapture | undefined;
  #stop: (() => void) | undefined;
  #loading = false;
  readonly #pending: Promise<void>[] = [];

  constructor(options: WatchOptions) {
    this.#options = options;
    this.path = options.path;
    this.schema = options.schema;
    this.replica = new EventReplica(() => options.read(options.path));
  }

  /** Captures the database, which was just opened. */
  connect(db: Sqlite3Database): void {
    const { sqlite3, capture, schema } = this.#options;
    if (capture !== undefined) {
      this.source = capture.source(db, schema);
    } else {
      this.#attached = attachCapture(sqlite3, db, { schema });
      this.source = this.#attached.source;
      this.#stop?.();
      this.#stop = undefined;
      this.replica.restart(this.source.sequence);
    }
    this.#stop ??= this.#listen();
  }

  /** Ends an `attachCapture`; false for a capture VFS. */
  detach(): boolean {
    this.#attached?.detach();
    return this.#attached !== undefined;
  }

  /** Commits through the wrapper that may hold transactions. */
  transaction(db: Sqlite3Database, work: () => void): Promise<void> {
    const { capture } = this.#options;
    return this.#attached?.transaction(work) ?? (capture as CaptureVfs).transaction(db, work);
  }

  /** Looks for commits of others; `settled` says that no transaction is open anywhere. */
  check(settled: boolean): void {
    this.source.check?.();
    if (settled && this.replica.doubt === undefined) {
      this.replica.compare(`check() of ${this.schema}`, true);
    }
  }

  /** Ends a doubt with an image, now or when the open transaction ends. */
  settle(): void {
    const { replica, source } = this;
    if (replica.doubt === undefined || this.#loading) return;
    this.#loading = true;
    const { doubts, excuses } = replica;
    const load = (image: DatabaseImage): void => {
      const bytes = bytesAtOnce(image);
      if (doubts === replica.doubts) replica.load(image, bytes, excuses);
    };
    const loaded = this.#failing(source.image().then(load));
    this.#pending.push(
      loaded.finally(() => {
        this.#loading = false;
      }),
    );
  }

  /** Reads an image after `pause` has ended, and compares it with the state of its boundary. */
  image(pause: () => Promise<void>): void {
    this.images++;
    this.#pending.push(
      this.#failing(this.source.image().then((image) => this.#read(image, pause))),
    );
  }

  /** Resolves when all images are read. */
  async ended(): Promise<void> {
    while (this.#pending.length > 0) await this.#pending.shift();
  }

  #listen(): () => void {
    const { prepare } = this.#options;
    try {
      return this.source.listen(this.replica, { prepare });
    } catch (error) {
      // A runtime without WebAssembly.Suspending, or a WAL by somebody else's choice.
      if (!isPagestreamError(error) || error.code !== "UNSUPPORTED") throw error;
      return this.source.listen(this.replica, prepare === "suspend" ? { prepare: "sync" } : {});
    }
  }

  async #read(image: DatabaseImage, pause: () => Promise<void>): Promise<void> {
    const expected = this.replica.at(image.sequence);
    await pause();
    let bytes: Uint8Array;
    try {
      bytes = await bytesOf(image);
    } catch (error) {
      if (!(error instanceof ImageOverrunError)) throw error;
      this.overruns++;
      const again = await this.source.image();
      this.#compare(again.sequence, bytesAtOnce(again), this.replica.at(again.sequence));
      return;
    }
    this.#compare(image.sequence, bytes, expected);
  }

  #compare(sequence: number, bytes: Uint8Array, expected: Uint8Array | undefined): void {
    // With free pages that nobody was told of, an image is right to hold what the commits do not.
    if (expected === undefined || this.replica.looseFreePages || same(bytes, expected)) return;
    this.replica.fail(`image at commit ${sequence} differs`);
  }

  /** Images fail when the database is closed, or when a doubt comes before they are read. */
  #failing(work: Promise<void>): Promise<void> {
    return work.catch((error: unknown) => {
      if (isPagestreamError(error) && error.code === "NOT_CAPTURED") return;
      if (error instanceof ImageOverrunError) return;
      this.replica.fail(`image: ${error instanceof Error ? error.stack : String(error)}`);
    });
  }
}

async function bytesOf(image: DatabaseImage): Promise<Uint8Array> {
  const bytes = new Uint8Array(image.commit * image.pageSize);
  for await (const run of image.runs) {
    for (const { pgno, data } of run) bytes.set(data, (pgno - 1) * image.pageSize);
  }
  return bytes;
}

function bytesAtOnce(image: DatabaseImage): Uint8Array {
  const bytes = new Uint8Array(image.commit * image.pageSize);
  for (const run of image.runsAtOnce()) {
    for (const { pgno, data } of run) bytes.set(data, (pgno - 1) * image.pageSize);
  }
  return bytes;
}
