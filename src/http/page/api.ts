/**
 * The routes beside the page.
 *
 * @module
 */

/** How the replica stands. */
export interface Info {
  /** 16 hex digits; null where the replica is empty. */
  readonly txid: string | null;
  /** RFC 3339. */
  readonly time: string | null;
  readonly restore_points: number;
  /** Whether the server runs SQL. */
  readonly queries: boolean;
  readonly levels: readonly {
    readonly level: number;
    readonly files: number;
    readonly bytes: number;
  }[];
}

/** A state that can be restored. */
export interface Point {
  readonly txid: string;
  readonly time: number;
}

/** A file of the replica. */
export interface ReplicaFile {
  readonly level: number;
  readonly name: string;
  readonly min: string;
  readonly max: string;
  readonly size: number;
  readonly time: number;
}

/** Rows, and what they cost. */
export interface Result {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  readonly txid: string | undefined;
  readonly stats: { readonly requests?: number; readonly bytes?: number } | undefined;
}

/** An answer that is none. */
export class ApiError extends Error {
  /** Of the answer. */
  readonly status: number;

  /** Says what the server said. */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const TOKEN = "pagestream-token";

/** Requests to the mount that the page is of. */
export class Api {
  /** Address of the mount, without a final slash. */
  readonly base: string;

  /** Finds the mount by the address of the page. */
  constructor() {
    const { pathname } = location;
    const isRoot = document.documentElement.dataset["at"] === "root";
    this.base = isRoot ? pathname.replace(/\/$/, "") : pathname.replace(/\/[^/]*\/?$/, "");
  }

  /** Whether requests carry a token. */
  get hasToken(): boolean {
    return sessionStorage.getItem(TOKEN) !== null;
  }

  /** Keeps a token as long as this tab is open; undefined forgets it. */
  setToken(token: string | undefined): void {
    if (token === undefined) sessionStorage.removeItem(TOKEN);
    else sessionStorage.setItem(TOKEN, token);
  }

  /** Asks for something; an answer that is none is an `ApiError`. */
  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const token = sessionStorage.getItem(TOKEN);
    const headers = new Headers(init.headers);
    if (token !== null) headers.set("authorization", `Bearer ${token}`);
    const response = await fetch(this.base + path, { ...init, headers, cache: "no-store" });
    if (response.ok) return response;
    const text = await response.text();
    throw new ApiError(
      response.status,
      messageOf(text) ?? `the server answered ${response.status}`,
    );
  }

  /** Position and levels. */
  async info(): Promise<Info> {
    return (await (await this.ask("/info")).json()) as Info;
  }

  /** Every restore point, oldest first. */
  async points(): Promise<Point[]> {
    const all: Point[] = [];
    for (let before = ""; ;) {
      const page = await (await this.ask(`/points${before && `?before=${before}`}`)).json();
      const { points, more } = page as { points: { txid: string; time: string }[]; more: boolean };
      for (const { txid, time } of points) all.push({ txid, time: Date.parse(time) });
      const last = points.at(-1)?.txid;
      if (!more || last === undefined) return all.reverse();
      before = last;
    }
  }

  /** Every file. */
  async files(): Promise<ReplicaFile[]> {
    const all: ReplicaFile[] = [];
    for (let after = ""; ;) {
      const query = after === "" ? "" : `?after=${encodeURIComponent(after)}`;
      const page = await (await this.ask(`/files${query}`)).json();
      const { files, more } = page as { files: WireFile[]; more: boolean };
      for (const { level, name, min_txid: min, max_txid: max, size, time } of files) {
        all.push({ level, name, min, max, size, time: Date.parse(time) });
      }
      const last = files.at(-1);
      if (!more || last === undefined) return all;
      after = `${last.level}/${last.name}`;
    }
  }

  /** Runs a statement that reads. */
  async query(sql: string, txid: string | undefined): Promise<Result> {
    const response = await this.ask("/query", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(txid === undefined ? { sql } : { sql, txid }),
    });
    const body = (await response.json()) as Partial<Result>;
    return {
      columns: body.columns ?? [],
      rows: body.rows ?? [],
      txid: response.headers.get("pagestream-position") ?? body.txid,
      stats: body.stats,
    };
  }

  /** Other databases of this server; none where it does not tell. */
  async databases(): Promise<readonly { readonly name: string; readonly path: string }[]> {
    const body = (await (await this.ask("/databases")).json()) as {
      readonly databases: readonly { readonly name: string; readonly path: string }[];
    };
    return body.databases;
  }

  /** Calls `changed` for each change until the feed ends. */
  async follow(changed: () => void, signal: AbortSignal): Promise<void> {
    const response = await this.ask("/changes", { signal });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done || value === undefined) return;
      text += value.replaceAll("\r", "");
      const events = text.split("\n\n");
      text = events.pop() ?? "";
      // Comments keep the connection open and are no events.
      if (events.some((event) => /^(event|data):/m.test(event))) changed();
    }
  }
}

interface WireFile {
  readonly level: number;
  readonly name: string;
  readonly min_txid: string;
  readonly max_txid: string;
  readonly size: number;
  readonly time: string;
}

function messageOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { message?: string } }).error?.message;
  } catch {
    return undefined;
  }
}
