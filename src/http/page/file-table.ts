/**
 * The files as a table, a page of them at a time: what the time line shows, for those who do not see it.
 *
 * @module
 */
import type { ReplicaFile } from "./api.ts";
import { byId, setText, tableRow } from "./elements.ts";
import { formatBytes, formatCount, formatTime } from "./format.ts";

const PAGE = 100;

/** The table below the time line. */
export class FileTable {
  readonly #box = byId("files", HTMLDetailsElement);
  readonly #level = byId("files-level", HTMLSelectElement);
  readonly #body = byId("files-body", HTMLTableSectionElement);
  readonly #note = byId("files-note", HTMLElement);
  readonly #back = byId("files-back", HTMLButtonElement);
  readonly #on = byId("files-on", HTMLButtonElement);
  #files: readonly ReplicaFile[] = [];
  #at = 0;

  /** Draws when it is open. */
  constructor() {
    this.#box.addEventListener("toggle", () => this.#draw());
    this.#level.addEventListener("change", () => this.#go(0));
    this.#back.addEventListener("click", () => this.#go(this.#at - PAGE));
    this.#on.addEventListener("click", () => this.#go(this.#at + PAGE));
  }

  /** Shows other files. */
  show(files: readonly ReplicaFile[]): void {
    this.#files = files;
    const levels = [...new Set(files.map(({ level }) => level))].sort((a, b) => a - b);
    const chosen = this.#level.value;
    const options = levels.map((level) => new Option(`Level ${level}`, String(level)));
    this.#level.replaceChildren(new Option("All levels", ""), ...options);
    this.#level.value = levels.includes(Number(chosen)) ? chosen : "";
    this.#draw();
  }

  #go(at: number): void {
    this.#at = at;
    this.#draw();
  }

  #draw(): void {
    // Most never open it, and files come every second.
    if (!this.#box.open) return;
    const level = this.#level.value;
    const wanted = this.#files
      .filter((file) => level === "" || file.level === Number(level))
      .sort((a, b) => b.time - a.time || a.level - b.level);
    this.#at = Math.max(0, Math.min(this.#at, Math.floor((wanted.length - 1) / PAGE) * PAGE));
    const page = wanted.slice(this.#at, this.#at + PAGE);
    const rows = page.map((file) =>
      tableRow([
        { text: String(file.level) },
        { text: file.min },
        { text: file.max },
        { text: formatBytes(file.size), mark: "number" },
        { text: formatTime(file.time) },
      ]),
    );
    this.#body.replaceChildren(...rows);
    this.#back.disabled = this.#at === 0;
    this.#on.disabled = this.#at + PAGE >= wanted.length;
    const last = this.#at + page.length;
    const range = `${last === 0 ? 0 : this.#at + 1} to ${last}`;
    setText(this.#note, `${range} of ${formatCount(wanted.length, "file")}, newest first`);
  }
}
