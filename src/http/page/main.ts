/**
 * The page: asks the routes beside it, shows what they tell, and again whenever that changes.
 *
 * @module
 */
import { Api, ApiError, type Info, type Point, type ReplicaFile } from "./api.ts";
import { byId, setText } from "./elements.ts";
import { FileTable } from "./file-table.ts";
import { formatBytes, formatCount, formatSpan, formatTime, shortTxid } from "./format.ts";
import { PointPicker } from "./point-picker.ts";
import { QueryBox } from "./query-box.ts";
import { startTheme } from "./theme.ts";
import { describeFiles, TimeLine } from "./time-line.ts";

/** Between two looks, where the server has no feed or has ended it. */
const POLL_MS = 10_000;
/** Between two drawings of changes that come one after the other. */
const SETTLE_MS = 500;

/** Starts the page that this script is in. */
export function startPage(): void {
  new Page().start();
}

class Page {
  readonly #api = new Api();
  readonly #line: TimeLine;
  readonly #table = new FileTable();
  readonly #picker: PointPicker;
  readonly #query: QueryBox;
  #info: Info | undefined;
  #files: readonly ReplicaFile[] = [];
  #points: readonly Point[] = [];
  #span = 0;
  #loading: Promise<void> | undefined;
  #isStale = false;

  constructor() {
    const canvas = byId("line-canvas", HTMLCanvasElement);
    this.#picker = new PointPicker(this.#api, () => this.#chosen());
    this.#query = new QueryBox(this.#api, () => this.#picker.point);
    this.#line = new TimeLine(canvas, byId("line-tip", HTMLElement), (time) =>
      this.#picker.chooseTime(time),
    );
  }

  start(): void {
    startTheme(byId("theme", HTMLButtonElement), () => this.#line.refresh());
    const name = decodeURIComponent(this.#api.base.split("/").at(-1) ?? "") || location.host;
    setText(byId("name", HTMLElement), name);
    document.title = `${name} · Pagestream`;
    setText(
      byId("foot", HTMLElement),
      `${location.host}${this.#api.base} · times are those of this device`,
    );
    const spans = document.querySelectorAll<HTMLButtonElement>("[data-span]");
    for (const button of spans) {
      button.addEventListener("click", () => {
        this.#span = Number(button.dataset["span"]);
        for (const each of spans) each.setAttribute("aria-pressed", String(each === button));
        this.#draw();
      });
    }
    const form = byId("token", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const input = byId("token-text", HTMLInputElement);
      this.#api.setToken(input.value.trim());
      void this.#open();
    });
    setInterval(() => this.#tick(), 1000);
    void this.#open();
  }

  /** Shows the replica, or asks for a token. */
  async #open(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      if (error instanceof ApiError && [401, 403].includes(error.status)) {
        const wasWrong = this.#api.hasToken;
        this.#api.setToken(undefined);
        byId("token", HTMLFormElement).hidden = false;
        setText(byId("token-problem", HTMLElement), wasWrong ? "This token does not open it." : "");
        byId("token-text", HTMLInputElement).focus();
        this.#state("waiting", "Needs a token");
        return;
      }
      this.#state("down", reasonOf(error));
      setTimeout(() => void this.#open(), POLL_MS);
      return;
    }
    const form = byId("token", HTMLFormElement);
    const wasAsked = !form.hidden;
    form.hidden = true;
    byId("content", HTMLElement).hidden = false;
    if (wasAsked) byId("main", HTMLElement).focus();
    this.#draw();
    void this.#listDatabases();
    void this.#follow();
  }

  /** Looks again at each change, or now and then where nobody tells of changes. */
  async #follow(): Promise<void> {
    let hasFeed = true;
    for (;;) {
      if (hasFeed) {
        try {
          this.#state("live", "Live");
          await this.#api.follow(() => void this.#refresh(), new AbortController().signal);
        } catch (error) {
          hasFeed = !(error instanceof ApiError && error.status !== 503 && error.status < 502);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (!document.hidden) await this.#refresh();
    }
  }

  /** Loads and draws; what changes meanwhile is looked at once, afterwards. */
  async #refresh(): Promise<void> {
    this.#isStale = true;
    this.#loading ??= (async () => {
      while (this.#isStale) {
        this.#isStale = false;
        try {
          await this.#load();
          this.#state("live", "Live");
          this.#draw();
        } catch (error) {
          this.#state("down", reasonOf(error));
        }
        await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      }
    })().finally(() => (this.#loading = undefined));
    await this.#loading;
  }

  async #load(): Promise<void> {
    const info = await this.#api.info();
    const before = this.#info;
    this.#info = info;
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(info)) return;
    [this.#points, this.#files] = await Promise.all([this.#api.points(), this.#api.files()]);
    if (before !== undefined && before.txid !== info.txid && info.txid !== null) {
      setText(byId("said", HTMLElement), `New state, TXID ${shortTxid(info.txid)}`);
    }
  }

  async #listDatabases(): Promise<void> {
    const all = await this.#api.databases().catch(() => []);
    if (all.length < 2) return;
    const nav = byId("databases", HTMLElement);
    const items = all.map(({ name, path }) => {
      const link = document.createElement("a");
      link.href = path;
      link.textContent = name;
      const isHere = new URL(link.href).pathname.replace(/\/$/, "") === this.#api.base;
      if (isHere) {
        link.setAttribute("aria-current", "page");
        setText(byId("name", HTMLElement), name);
      }
      const item = document.createElement("li");
      item.append(link);
      return item;
    });
    nav.querySelector("ul")?.replaceChildren(...items);
    nav.hidden = false;
  }

  #draw(): void {
    const info = this.#info;
    if (info === undefined) return;
    const files = info.levels.reduce((sum, level) => sum + level.files, 0);
    const bytes = info.levels.reduce((sum, level) => sum + level.bytes, 0);
    const txid = byId("txid", HTMLElement);
    setText(txid, info.txid === null ? "none" : shortTxid(info.txid));
    txid.title = info.txid ?? "";
    setText(byId("stored", HTMLElement), formatBytes(bytes));
    const levels = formatCount(info.levels.length, "level");
    setText(byId("stored-note", HTMLElement), `${formatCount(files, "file")} in ${levels}`);
    setText(byId("count", HTMLElement), info.restore_points.toLocaleString());
    const oldest = this.#points[0]?.time;
    const back = oldest === undefined ? "none yet" : `back to ${formatTime(oldest)}`;
    setText(byId("count-note", HTMLElement), back);
    setText(byId("line-note", HTMLElement), describeFiles(this.#files));
    byId("query-card", HTMLElement).hidden = !info.queries;
    this.#picker.show(this.#points);
    this.#table.show(this.#files);
    this.#chosen();
    this.#tick();
  }

  #chosen(): void {
    const { index } = this.#picker;
    this.#line.show({ files: this.#files, points: this.#points, chosen: index, span: this.#span });
    this.#query.refresh();
  }

  #tick(): void {
    const time = this.#info?.time;
    if (typeof time === "string") {
      setText(byId("lag", HTMLElement), formatSpan(Date.now() - Date.parse(time)));
    }
  }

  #state(state: "waiting" | "live" | "down", text: string): void {
    byId("live", HTMLElement).dataset["state"] = state;
    setText(byId("live-text", HTMLElement), text);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof ApiError ? error.message : "The server does not answer";
}
