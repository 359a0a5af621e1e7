/**
 * The slider over all restore points, and what can be done with the chosen one.
 *
 * @module
 */
import type { Api, Point } from "./api.ts";
import { byId, setText } from "./elements.ts";
import { formatBytes, formatTime, inputTime, shortTxid } from "./format.ts";

/** Which restore point is chosen. */
export class PointPicker {
  readonly #api: Api;
  readonly #changed: () => void;
  readonly #slider = byId("slider", HTMLInputElement);
  readonly #older = byId("older", HTMLButtonElement);
  readonly #newer = byId("newer", HTMLButtonElement);
  readonly #newest = byId("newest", HTMLButtonElement);
  readonly #when = byId("when", HTMLInputElement);
  readonly #download = byId("download", HTMLAnchorElement);
  readonly #note = byId("download-note", HTMLElement);
  #points: readonly Point[] = [];
  #index = 0;
  /** Whether the newest point is chosen whatever comes. */
  #follows = true;

  /** Calls `changed` whenever another point is chosen. */
  constructor(api: Api, changed: () => void) {
    this.#api = api;
    this.#changed = changed;
    this.#slider.addEventListener("input", () => this.#choose(this.#slider.valueAsNumber));
    this.#older.addEventListener("click", () => this.#choose(this.#index - 1));
    this.#newer.addEventListener("click", () => this.#choose(this.#index + 1));
    this.#newest.addEventListener("click", () => this.#choose(this.#points.length - 1));
    this.#when.addEventListener("change", () => {
      const time = new Date(this.#when.value).getTime();
      if (!Number.isNaN(time)) this.chooseTime(time + 999);
    });
    this.#download.addEventListener("click", (event) => {
      if (!api.hasToken) return;
      event.preventDefault();
      void this.#save();
    });
  }

  /** The chosen point; undefined where there is none. */
  get point(): Point | undefined {
    return this.#points[this.#index];
  }

  /** Index of the chosen point. */
  get index(): number {
    return this.#index;
  }

  /** Shows other points, oldest first, and keeps what is chosen as far as it is there. */
  show(points: readonly Point[]): void {
    const chosen = this.point?.txid;
    this.#points = points;
    const last = Math.max(0, points.length - 1);
    this.#slider.max = String(last);
    const kept = points.findIndex(({ txid }) => txid === chosen);
    this.#index = this.#follows || kept < 0 ? last : kept;
    this.#draw();
  }

  /** Chooses the state at a time. */
  chooseTime(time: number): void {
    const later = this.#points.findIndex((point) => point.time > time);
    this.#choose(later < 0 ? this.#points.length - 1 : Math.max(0, later - 1));
  }

  #choose(index: number): void {
    const last = this.#points.length - 1;
    this.#index = Math.max(0, Math.min(last, index));
    this.#follows = this.#index === last;
    this.#draw();
    this.#changed();
  }

  #draw(): void {
    const { point } = this;
    const last = this.#points.length - 1;
    const count = last < 0 ? "" : `${this.#index + 1} of ${last + 1}`;
    setText(byId("slider-note", HTMLElement), count);
    this.#slider.value = String(this.#index);
    this.#slider.disabled = last < 1;
    this.#older.disabled = this.#index <= 0;
    this.#newer.disabled = this.#newest.disabled = this.#index >= last;
    this.#download.hidden = point === undefined;
    const chosen = byId("chosen-time", HTMLElement);
    if (point === undefined) {
      setText(chosen, "No state can be restored yet");
      return;
    }
    setText(chosen, formatTime(point.time));
    setText(byId("chosen-txid", HTMLElement), `TXID ${point.txid}`);
    const text = `${formatTime(point.time)}, TXID ${shortTxid(point.txid)}, ${count}`;
    this.#slider.setAttribute("aria-valuetext", text);
    if (document.activeElement !== this.#when) this.#when.value = inputTime(point.time);
    this.#download.href = `${this.#api.base}/snapshot?txid=${point.txid}`;
    this.#download.download = `${point.txid}.db`;
    this.#download.setAttribute(
      "aria-label",
      `Download the database as of ${formatTime(point.time)}`,
    );
  }

  /** A link carries no token: the file is fetched, and then handed over. */
  async #save(): Promise<void> {
    const { point } = this;
    if (point === undefined) return;
    try {
      const response = await this.#api.ask(`/snapshot?txid=${point.txid}`);
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      let size = 0;
      const reader = response.body?.getReader();
      for (
        let next = await reader?.read();
        next?.value !== undefined;
        next = await reader?.read()
      ) {
        chunks.push(next.value);
        size += next.value.length;
        setText(this.#note, `Downloading: ${formatBytes(size)}`);
      }
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(chunks));
      link.download = `${point.txid}.db`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      setText(this.#note, `Downloaded ${formatBytes(size)}`);
    } catch (error) {
      setText(this.#note, `The download failed: ${error instanceof Error ? error.message : error}`);
    }
  }
}
