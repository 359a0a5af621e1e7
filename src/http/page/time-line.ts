/**
 * The files of every level along a line of time, drawn on a canvas: thousands of them cost one pass.
 *
 * @module
 */
import type { Point, ReplicaFile } from "./api.ts";
import { formatBytes, formatCount, formatSpan, formatTime, shortTxid } from "./format.ts";

/** What is drawn. */
export interface TimeLineData {
  readonly files: readonly ReplicaFile[];
  /** Oldest first. */
  readonly points: readonly Point[];
  /** Index of the chosen point. */
  readonly chosen: number;
  /** How far back, in milliseconds before the newest point; 0 for all. */
  readonly span: number;
}

/** A file where it was drawn. */
interface Mark {
  readonly file: ReplicaFile;
  readonly left: number;
  readonly right: number;
}

const ROW = 34;
const BAR = 14;
const GUTTER = 82;
const AXIS = 26;
const PAD = 8;

/** The canvas, its tip and what a click on it chooses. */
export class TimeLine {
  readonly #canvas: HTMLCanvasElement;
  readonly #tip: HTMLElement;
  #data: TimeLineData = { files: [], points: [], chosen: 0, span: 0 };
  #rows: { readonly level: number; readonly marks: Mark[] }[] = [];
  #from = 0;
  #to = 1;

  /** Draws when it is given something. */
  constructor(canvas: HTMLCanvasElement, tip: HTMLElement, choose: (time: number) => void) {
    this.#canvas = canvas;
    this.#tip = tip;
    new ResizeObserver(() => this.#draw()).observe(canvas.parentElement as Element);
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", () => (tip.hidden = true));
    canvas.addEventListener("click", (event) => {
      const mark = this.#markAt(event);
      choose(mark === undefined ? this.#timeAt(event.offsetX) : mark.file.time);
    });
  }

  /** Draws something else. */
  show(data: TimeLineData): void {
    this.#data = data;
    this.#draw();
  }

  /** Draws again, as in other colours. */
  refresh(): void {
    this.#draw();
  }

  #draw(): void {
    const { files, points, chosen, span } = this.#data;
    const canvas = this.#canvas;
    const width = (canvas.parentElement as HTMLElement).clientWidth;
    const levels = [...new Set(files.map(({ level }) => level))].sort((a, b) => b - a);
    const height = Math.max(1, levels.length) * ROW + AXIS + PAD;
    const scale = devicePixelRatio;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const paint = canvas.getContext("2d");
    if (paint === null) return;
    paint.scale(scale, scale);
    const style = getComputedStyle(canvas);
    // Only where it is used does a colour become the one of the theme.
    const colour = (name: string): string => {
      canvas.style.color = `var(${name})`;
      return style.color;
    };
    const times = new Map(points.map(({ txid, time }) => [txid, time]));
    const newest = files.reduce((most, { time }) => Math.max(most, time), points.at(-1)?.time ?? 0);
    const oldest = files.reduce((least, { time }) => Math.min(least, time), newest);
    this.#to = newest;
    this.#from = span === 0 ? oldest : Math.max(oldest, newest - span);
    if (this.#from === this.#to) this.#from -= 1000;
    const before = previousTimes(points);
    paint.font = `12px ${style.fontFamily}`;
    paint.textBaseline = "middle";
    this.#axis(paint, { width, height, colour });
    this.#rows = levels.map((level, row) => {
      const middle = PAD + row * ROW + ROW / 2;
      paint.fillStyle = colour("--soft");
      paint.textAlign = "left";
      paint.fillText(level === 9 ? "Snapshots" : `Level ${level}`, 0, middle);
      paint.fillStyle = colour("--line");
      paint.fillRect(GUTTER, middle + BAR / 2 + 2, width - GUTTER, 1);
      paint.fillStyle = colour(`--level-${level > 3 && level < 9 ? 3 : level}`);
      const marks: Mark[] = [];
      for (const file of files) {
        if (file.level !== level) continue;
        const end = this.#x(times.get(file.max) ?? file.time, width);
        // A snapshot is of one moment, whatever came before; another file reaches from the state before it.
        const start = level === 9 ? end : this.#x(before(file.min) ?? file.time, width);
        if (end < GUTTER) continue;
        const isTick = level === 9 || level === 0;
        const right = Math.min(width, isTick ? end + 1.5 : end);
        const left = Math.max(GUTTER, isTick ? end - 1.5 : Math.min(start + 1, right - 2));
        const mark = { file, left: Math.max(GUTTER, left), right };
        marks.push(mark);
        if (level === 9) dot(paint, Math.min(end, width - 5), middle);
        else bar(paint, mark, middle);
      }
      return { level, marks };
    });
    const time = points[chosen]?.time;
    if (time === undefined || time < this.#from) return;
    const x = Math.round(this.#x(time, width));
    paint.fillStyle = colour("--ink");
    paint.fillRect(Math.min(x, width - 1.5), 0, 1.5, height - AXIS + 4);
  }

  #axis(
    paint: CanvasRenderingContext2D,
    { width, height, colour }: { width: number; height: number; colour: (name: string) => string },
  ): void {
    paint.fillStyle = colour("--soft");
    const range = this.#to - this.#from;
    const count = Math.max(1, Math.floor((width - GUTTER) / 150));
    const isShort = range < 36 * 3_600_000;
    const format = new Intl.DateTimeFormat(undefined, {
      ...(isShort ? {} : { month: "short", day: "numeric" }),
      hour: "2-digit",
      minute: "2-digit",
      ...(range < 600_000 ? { second: "2-digit" } : {}),
    });
    for (let i = 0; i <= count; i++) {
      const time = this.#from + (range * i) / count;
      const x = this.#x(time, width);
      paint.textAlign = i === 0 ? "left" : i === count ? "right" : "center";
      paint.fillText(format.format(time), x, height - 9);
    }
  }

  #x(time: number, width: number): number {
    const part = (time - this.#from) / (this.#to - this.#from);
    return GUTTER + part * (width - GUTTER);
  }

  #timeAt(x: number): number {
    const width = this.#canvas.clientWidth;
    const part = (x - GUTTER) / (width - GUTTER);
    return this.#from + part * (this.#to - this.#from);
  }

  #markAt({ offsetX, offsetY }: MouseEvent): Mark | undefined {
    const row = this.#rows[Math.floor((offsetY - PAD) / ROW)];
    let best: Mark | undefined;
    let nearest = 6;
    for (const mark of row?.marks ?? []) {
      const away = Math.max(mark.left - offsetX, offsetX - mark.right, 0);
      if (away < nearest || (away === 0 && best === undefined)) [best, nearest] = [mark, away];
    }
    return best;
  }

  #point(event: PointerEvent): void {
    const mark = this.#markAt(event);
    const tip = this.#tip;
    tip.hidden = mark === undefined;
    if (mark === undefined) return;
    const { level, min, max, size, time } = mark.file;
    const range = min === max ? shortTxid(max) : `${shortTxid(min)} – ${shortTxid(max)}`;
    const kind = level === 9 ? "Snapshot" : `Level ${level}`;
    tip.textContent = `${kind} · ${range}\n${formatBytes(size)} · ${formatTime(time)}`;
    const room = this.#canvas.clientWidth - tip.offsetWidth;
    const left = Math.min(room, Math.max(0, event.offsetX - tip.offsetWidth / 2));
    const top = event.offsetY < 56 ? event.offsetY + 18 : event.offsetY - tip.offsetHeight - 12;
    tip.style.transform = `translate(${left}px, ${top}px)`;
  }
}

/** What the line shows, in a sentence for those who do not see it. */
export function describeFiles(files: readonly ReplicaFile[]): string {
  if (files.length === 0) return "There are no files yet.";
  let oldest = Infinity;
  let newest = 0;
  let bytes = 0;
  for (const { time, size } of files) {
    oldest = Math.min(oldest, time);
    newest = Math.max(newest, time);
    bytes += size;
  }
  return `${formatCount(files.length, "file")}, ${formatBytes(bytes)}, over ${formatSpan(newest - oldest)}.`;
}

function bar(paint: CanvasRenderingContext2D, { left, right }: Mark, middle: number): void {
  const width = Math.max(2, right - left);
  if (width < 6) {
    paint.fillRect(left, middle - BAR / 2, width, BAR);
    return;
  }
  paint.beginPath();
  paint.roundRect(left, middle - BAR / 2, width, BAR, 3);
  paint.fill();
}

function dot(paint: CanvasRenderingContext2D, x: number, middle: number): void {
  paint.beginPath();
  paint.arc(x, middle, 5, 0, Math.PI * 2);
  paint.fill();
}

/** The time of the newest point before a TXID. */
function previousTimes(points: readonly Point[]): (txid: string) => number | undefined {
  return (txid) => {
    let low = 0;
    let high = points.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((points[middle] as Point).txid < txid) low = middle + 1;
      else high = middle;
    }
    return points[low - 1]?.time ?? points[0]?.time;
  };
}
