/**
 * Uploads staged files, strictly in order, one at a time, until each is confirmed.
 *
 * @module
 */
import { isPagestreamError, PagestreamError } from "../core/errors.ts";
import type { Aborter, Platform } from "../core/platform.ts";
import { sleep } from "../core/retry.ts";
import { ConflictError } from "./errors.ts";
import type { LocalState } from "./local-state.ts";
import type { StagedFile } from "./staged-file.ts";
import { keptObject, type LtxObject, stagedObject } from "./upload-staged.ts";
import type { ReplicaWriter } from "./writer.ts";

/** Pause in milliseconds after something could not be uploaded for good; it doubles from failure to failure. */
export const FIRST_PAUSE_MS = 1_000;
/** Longest pause in milliseconds between two attempts on a dead store. */
export const LONGEST_PAUSE_MS = 60_000;

/** Who is told of an uploader's outcomes. */
export interface UploaderEvents {
  /** A file is in the store, confirmed; it is still staged. */
  uploaded(file: StagedFile): void;
  /** The store failed beyond the retry policy; the uploader goes on trying after a pause. */
  stalled(error: PagestreamError): void;
  /** The store answers again after it was reported stalled. */
  recovered(): void;
  /** Under the name of `file` the store holds `landed`, which was withdrawn: `file` is not needed as it is. */
  superseded(landed: StagedFile, file: StagedFile): void;
  /** Another writer owns the next name; the uploader has stopped. */
  conflict(error: ConflictError): void;
}

/** What an {@linkcode Uploader} works with. */
export interface UploaderOptions {
  readonly writer: ReplicaWriter;
  readonly state: LocalState;
  readonly platform: Platform;
  /** What has to be done before a snapshot goes up: it comes this way only where the page size changes. */
  readonly beforeSnapshot?: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly events: UploaderEvents;
}

/** The queue of staged files on their way to the store. */
export class Uploader {
  readonly #options: UploaderOptions;
  readonly #queue: StagedFile[] = [];
  #running: Promise<void> | undefined;
  #aborter: Aborter | undefined;
  #pausing: Aborter | undefined;
  #paused = false;
  #stopped = false;
  #failures = 0;
  /** A withdrawn file that may be in the store. */
  #rival: { readonly file: StagedFile; readonly object: LtxObject } | undefined;

  constructor(options: UploaderOptions) {
    this.#options = options;
  }

  /** Whether the store failed at the last attempt: then nothing more should be cut. */
  get failing(): boolean {
    return this.#failures > 0 && this.#queue.length > 0;
  }

  /** Whether a file was withdrawn and it is not known yet whether the store has it. */
  get hasRival(): boolean {
    return this.#rival !== undefined;
  }

  /** Files not yet confirmed, oldest first. */
  get pending(): readonly StagedFile[] {
    return this.#queue;
  }

  /** Bytes of the files not yet confirmed. */
  get pendingBytes(): number {
    return this.#queue.reduce((sum, { size }) => sum + size, 0);
  }

  /** Appends files; uploading begins at once. */
  add(...files: readonly StagedFile[]): void {
    this.#queue.push(...files);
    this.#start();
  }

  /**
   * Gives the newest file up. Whether it reached the store is found out when another one is created under its name; its
   * staged bytes may be replaced meanwhile.
   */
  withdraw(file: StagedFile): void {
    const { state } = this.#options;
    this.#rival = { file, object: keptObject(stagedObject(state, file)) };
    const at = this.#queue.indexOf(file);
    if (at < 0) return;
    this.#queue.splice(at);
    if (at > 0) return;
    this.#aborter?.abort("withdrawn");
    this.#pausing?.abort("withdrawn");
  }

  /** Somebody else has had all files that wait confirmed, and `file` after them. */
  confirmed(file: StagedFile): void {
    const files = [...this.#queue.splice(0), file];
    this.#failures = 0;
    this.#aborter?.abort("confirmed");
    this.#pausing?.abort("confirmed");
    for (const each of files) this.#options.events.uploaded(each);
  }

  /** Gives all files up, and returns them. One under way may still land. */
  drop(): readonly StagedFile[] {
    const files = this.#queue.splice(0);
    this.#failures = 0;
    this.#aborter?.abort("drop");
    this.#pausing?.abort("drop");
    return files;
  }

  /** Begins no further upload; one under way goes on. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#start();
  }

  /** Tries again now instead of after the pause. */
  wake(): void {
    this.#pausing?.abort("wake");
  }

  /** Ends all work; what is not confirmed stays staged. Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#aborter?.abort("stop");
    this.#pausing?.abort("stop");
    await this.#running;
  }

  /** Forgets the queue and begins anew: another writer's history has been accepted. */
  restart(): void {
    this.#queue.length = 0;
    this.#stopped = false;
    this.#failures = 0;
    this.#rival = undefined;
  }

  #start(): void {
    if (this.#running !== undefined || this.#paused || this.#stopped) return;
    if (this.#queue.length === 0) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      // A file may have arrived between the loop's last look and this moment.
      this.#start();
    });
  }

  async #run(): Promise<void> {
    const { events } = this.#options;
    while (!this.#paused && !this.#stopped) {
      const file = this.#queue[0];
      if (file === undefined) return;
      let landed: StagedFile;
      try {
        landed = await this.#upload(file);
      } catch (error) {
        if (this.#stopped) return;
        if (this.#queue[0] !== file) continue;
        if (error instanceof ConflictError) {
          this.#stopped = true;
          events.conflict(error);
          return;
        }
        this.#failures++;
        events.stalled(asPagestreamError(error, file.name));
        await this.#pause();
        continue;
      }
      const recovered = this.#failures > 0;
      this.#failures = 0;
      if (this.#queue[0] !== file) continue;
      this.#queue.shift();
      if (this.#rival?.file.name === file.name) this.#rival = undefined;
      try {
        if (recovered) events.recovered();
        if (landed === file) events.uploaded(file);
        else events.superseded(landed, file);
      } catch (error) {
        // Not the store's doing, and no reason to stop: the file is confirmed.
        events.stalled(asPagestreamError(error, file.name));
      }
    }
  }

  /** Returns what is in the store under the file's name: itself, or the one that was withdrawn. */
  async #upload(file: StagedFile): Promise<StagedFile> {
    const { writer, state, platform, beforeSnapshot } = this.#options;
    this.#aborter = platform.newAborter();
    const { signal } = this.#aborter;
    if (file.level > 0) await beforeSnapshot?.(signal);
    // A store known to be dead is asked once per pause; the policy's tries are for passing troubles.
    const attempts = this.failing ? 1 : undefined;
    const other = this.#rival?.file.name === file.name ? this.#rival : undefined;
    const object = stagedObject(state, file);
    const there = await writer.create(object, { signal, attempts, rival: other?.object });
    return other !== undefined && there === other.object ? other.file : file;
  }

  async #pause(): Promise<void> {
    const { platform } = this.#options;
    const delay = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#failures - 1));
    this.#pausing = platform.newAborter();
    const { signal } = this.#pausing;
    await sleep(delay, { platform, operation: "upload", object: "staged files", signal }).catch(
      () => {},
    );
    this.#pausing = undefined;
  }
}

function asPagestreamError(error: unknown, object: string): PagestreamError {
  if (isPagestreamError(error)) return error;
  return new PagestreamError("STORE", {
    operation: "upload",
    object,
    what: error instanceof Error ? error.message : String(error),
  });
}
