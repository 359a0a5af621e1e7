/**
 * The box that reads the replica by SQL, now or as of the chosen restore point.
 *
 * @module
 */
import { type Api, ApiError, type Point, type Result } from "./api.ts";
import { byId, setText, tableRow } from "./elements.ts";
import { formatBytes, formatCount, formatTime, shortTxid } from "./format.ts";

/** Rows that are drawn; more than anybody reads. */
const MAX_ROWS = 1000;

/** The form, and the table of its result. */
export class QueryBox {
  readonly #api: Api;
  readonly #point: () => Point | undefined;
  readonly #sql = byId("sql", HTMLTextAreaElement);
  readonly #run = byId("run", HTMLButtonElement);
  readonly #note = byId("result-note", HTMLElement);
  readonly #result = byId("result", HTMLElement);
  readonly #form = byId("query", HTMLFormElement);

  /** Asks for the chosen point when it is needed. */
  constructor(api: Api, point: () => Point | undefined) {
    this.#api = api;
    this.#point = point;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#ask();
    });
    this.#sql.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
  }

  /** Another point is chosen. */
  refresh(): void {
    const point = this.#point();
    const text = point === undefined ? "" : `of ${formatTime(point.time)}`;
    setText(byId("as-of-point", HTMLElement), text);
  }

  async #ask(): Promise<void> {
    const isPast = new FormData(this.#form).get("as-of") === "point";
    const point = isPast ? this.#point() : undefined;
    this.#run.disabled = true;
    this.#note.removeAttribute("data-bad");
    setText(this.#note, "Running");
    const start = performance.now();
    try {
      const result = await this.#api.query(this.#sql.value, point?.txid);
      this.#show(result, { ms: performance.now() - start, point });
    } catch (error) {
      this.#result.hidden = true;
      this.#note.setAttribute("data-bad", "");
      setText(this.#note, reasonOf(error));
    } finally {
      this.#run.disabled = false;
    }
  }

  #show(
    result: Result,
    { ms, point }: { readonly ms: number; readonly point: Point | undefined },
  ): void {
    const { columns, rows, txid, stats } = result;
    const head = document.createElement("tr");
    for (const column of columns) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = column;
      head.append(cell);
    }
    const drawn = rows.slice(0, MAX_ROWS).map((row) => tableRow(row.map(cellOf)));
    this.#result.querySelector("thead")?.replaceChildren(head);
    this.#result.querySelector("tbody")?.replaceChildren(...drawn);
    this.#result.hidden = columns.length === 0;
    const parts = [
      formatCount(rows.length, "row") +
        (rows.length > MAX_ROWS ? `, of which ${formatCount(MAX_ROWS, "row")} are shown` : ""),
      `${Math.round(ms)} ms`,
      ...(stats?.requests === undefined
        ? []
        : [`${formatCount(stats.requests, "request")}, ${formatBytes(stats.bytes ?? 0)} read`]),
      txid === undefined ? "as of now" : `as of TXID ${shortTxid(txid)}`,
      ...(point === undefined ? [] : [formatTime(point.time)]),
    ];
    setText(this.#note, parts.join(" · "));
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof ApiError && error.status === 501) {
    return "This server does not answer queries.";
  }
  return error instanceof Error ? error.message : String(error);
}

/** A value as people read it: large integers and blobs come as objects. */
function cellOf(value: unknown): { readonly text: string; readonly mark?: string } {
  if (value === null) return { text: "NULL", mark: "null" };
  if (typeof value === "number") return { text: String(value), mark: "number" };
  if (typeof value !== "object") return { text: String(value) };
  const { integer, base64 } = value as { readonly integer?: string; readonly base64?: string };
  if (integer !== undefined) return { text: integer, mark: "number" };
  return { text: `blob, ${formatBytes(atob(base64 ?? "").length)}`, mark: "null" };
}
