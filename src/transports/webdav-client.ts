/**
 * The requests of WebDAV (RFC 4918), and what real servers make of them. Names are paths below the server's address.
 *
 * @module
 */
import { sleep } from "../core/retry.ts";
import { StoreError } from "./errors.ts";
import { HttpClient, type HttpOptions, RedirectError } from "./http-client.ts";
import type { HttpRequest, HttpResponse } from "./http-response.ts";
import { statusError } from "./http-status.ts";
import { encodePath } from "./location.ts";
import { type Authenticator, authenticator, type Credentials } from "./webdav-auth.ts";
import {
  type DavResource,
  decodedPath,
  membersOf,
  parseMultistatus,
  PROPFIND_BODY,
} from "./webdav-resource.ts";

/** What a request is for. */
export type Call = Pick<HttpRequest, "operation" | "object" | "signal">;

/** A body of known length. */
export type DavBody = Uint8Array<ArrayBuffer> | Blob;

/** The members of a folder. */
export interface DavFolder {
  readonly members: readonly DavResource[];
  /** The server's clock; NaN where it does not tell. */
  readonly nowMs: number;
}

/** Longest answer to the listing of a folder, which WebDAV gives in one piece: some 200,000 files. */
const LISTING_LIMIT = 128 * 1024 * 1024;

/** Tries while the server says that a name is locked, as rclone does as long as another request is about it. */
const LOCKED_ATTEMPTS = 20;

/** Grows by as much from try to try. */
const LOCKED_PAUSE_MS = 5;

/** Done, by one of the statuses with which servers say so. */
const DONE: readonly number[] = [200, 201, 204];

/** Talks to one server as one user. */
export class DavClient {
  /** The client underneath. */
  readonly http: HttpClient;
  readonly #base: string;
  readonly #auth: Authenticator;
  /** Folders that are there, or are being made. */
  readonly #folders = new Map<string, Promise<void>>();

  /** Sends nothing yet. `base` is a checked address without a slash at its end. */
  constructor(base: string, credentials: Credentials | undefined, options: HttpOptions) {
    this.#base = base;
    this.http = new HttpClient(options);
    this.#auth = authenticator(credentials, this.http.platform.randomBytes);
  }

  /** The address of a name. */
  urlOf(name: string): string {
    return `${this.#base}/${encodePath(name)}`;
  }

  /** Sends a request, again if the server asks who it is, and again while it says that something is locked. */
  async send(request: HttpRequest): Promise<HttpResponse> {
    for (let n = 1; ; n++) {
      const [first, sent] = await this.#sendOnce(request);
      let response = first;
      if (first.status === 401 && this.#auth.learn(first.header("www-authenticate"), sent)) {
        await first.discard();
        [response] = await this.#sendOnce(request);
      }
      if (response.status !== 423 || n === LOCKED_ATTEMPTS) return response;
      await response.discard();
      await sleep(n * LOCKED_PAUSE_MS, { ...request, platform: this.http.platform });
    }
  }

  async #sendOnce(request: HttpRequest): Promise<[HttpResponse, boolean]> {
    const authorization = await this.#auth.header(request.method, request.url);
    const headers = { ...request.headers, authorization };
    return [await this.http.send({ ...request, headers }), authorization !== undefined];
  }

  /** What lies at a name, file or folder. Apache redirects a question about a folder without its slash. */
  async look(call: Call, name: string): Promise<DavResource | undefined> {
    const found = await this.#propfind(call, name, "0").catch((error: unknown) => {
      if (error instanceof RedirectError) return this.#propfind(call, `${name}/`, "0");
      throw error;
    });
    return found?.members[0];
  }

  /** What lies in a folder; nothing where it is none. The name `""` is that of the address itself. */
  async list(call: Call, name: string): Promise<DavFolder> {
    const found = await this.#propfind(call, name === "" ? "" : `${name}/`, "1");
    if (found === undefined) return { members: [], nowMs: Number.NaN };
    const path = decodedPath(new URL(this.urlOf(name)).pathname) as string;
    return { members: membersOf(found.members, path, call) ?? [], nowMs: found.nowMs };
  }

  async #propfind(call: Call, name: string, depth: "0" | "1"): Promise<DavFolder | undefined> {
    const response = await this.send({
      ...call,
      method: "PROPFIND",
      url: this.urlOf(name),
      headers: { depth, "content-type": "application/xml; charset=utf-8" },
      body: PROPFIND_BODY,
    });
    const { status } = response;
    if (status === 207) {
      const members = parseMultistatus(await response.text(LISTING_LIMIT), call);
      return { members, nowMs: Date.parse(response.header("date") ?? "") };
    }
    await response.discard();
    if (status === 404 || (status === 400 && (await this.#isMissing(call, name)))) return undefined;
    throw refusal(response);
  }

  /** Apache calls it a bad request if something is looked for below a file, but not with HEAD. */
  async #isMissing(call: Call, name: string): Promise<boolean> {
    const response = await this.#ask(call, "HEAD", name);
    return response.status === 404;
  }

  /** Uploads to a name, whose folder is made if it is missing. */
  async upload(call: Call, name: string, body: DavBody): Promise<void> {
    const folder = parentOf(name);
    const put = async (): Promise<HttpResponse> => {
      if (folder !== "") await this.#makeFolder(call, folder);
      const headers = { "content-type": "application/octet-stream" };
      return await this.#ask(call, "PUT", name, { headers, body });
    };
    const known = this.#folders.has(folder);
    let response = await put();
    // Perhaps somebody has removed the folder since it was made; nginx calls that 500.
    if (known && [404, 409, 500].includes(response.status)) {
      this.#folders.clear();
      response = await put();
    }
    if (!DONE.includes(response.status)) throw refusal(response);
  }

  /** Makes a folder and those above it, once. Its requests have no signal: several uploads may wait for them. */
  #makeFolder({ operation, object }: Call, folder: string): Promise<void> {
    let made = this.#folders.get(folder);
    if (made === undefined) {
      made = this.#mkcol({ operation, object }, folder);
      this.#folders.set(folder, made);
      made.catch(() => this.#folders.delete(folder));
    }
    return made;
  }

  async #mkcol(call: Call, folder: string): Promise<void> {
    const mkcol = (): Promise<HttpResponse> => this.#ask(call, "MKCOL", `${folder}/`);
    let response = await mkcol();
    const parent = parentOf(folder);
    if (response.status === 409 && parent !== "") {
      await this.#makeFolder(call, parent);
      response = await mkcol();
    }
    // 405: it is there.
    if (DONE.includes(response.status) || response.status === 405) return;
    const error = refusal(response);
    if (error instanceof StoreError && error.retryable) throw error;
    // Apache forbids what another client has just made.
    const there = await this.look(call, folder);
    if (there?.folder !== true) throw error;
  }

  /**
   * Moves an uploaded object to its name. It first tries without overwriting, and replaces only what is there then:
   * x/net/webdav begins to overwrite by deleting, even if there is nothing to move because an earlier try of somebody on
   * the way got through.
   */
  async publish(
    call: Call,
    from: string,
    to: { readonly name: string; readonly createOnly: boolean },
  ): Promise<void> {
    const destination = this.urlOf(to.name);
    const move = (overwrite: "T" | "F"): Promise<HttpResponse> =>
      this.#ask(call, "MOVE", from, { headers: { destination, overwrite } });
    let response = await move("F");
    if (response.status === 412 && !to.createOnly) {
      // Overwriting a folder would delete all that lies in it.
      if ((await this.look(call, to.name))?.folder === true) throw occupied(call);
      if ((await this.look(call, from)) === undefined) return;
      response = await move("T");
    }
    if (DONE.includes(response.status)) return;
    throw response.status === 404 ? vanished(call) : refusal(response);
  }

  /** Deletes a file, if it is there; a folder stays, since DELETE would take all that lies in it. */
  async remove(call: Call, name: string): Promise<void> {
    const found = await this.look(call, name);
    if (found !== undefined && !found.folder) await this.removeFile(call, name);
  }

  /** Deletes what is known to be a file, if it is there. */
  async removeFile(call: Call, name: string): Promise<void> {
    const response = await this.#ask(call, "DELETE", name);
    if (!DONE.includes(response.status) && response.status !== 404) throw refusal(response);
  }

  /** Sends a request of whose answer only the head counts. */
  async #ask(
    call: Call,
    method: string,
    name: string,
    more: Pick<HttpRequest, "headers" | "body"> = {},
  ): Promise<HttpResponse> {
    const response = await this.send({ ...call, ...more, method, url: this.urlOf(name) });
    await response.discard();
    return response;
  }
}

function parentOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf("/")));
}

/** 423 passes, too: locks are given up, or end by themselves. */
function refusal(response: HttpResponse): Error {
  if (response.status !== 423) return statusError(response);
  const { operation, object } = response.request;
  const what = "another client has locked it on the server";
  return new StoreError({ operation, object, what }, { retryable: true });
}

function vanished({ operation, object }: Call): StoreError {
  const what = "the uploaded object was gone before it could be moved to its place";
  return new StoreError({ operation, object, what }, { retryable: true });
}

function occupied({ operation, object }: Call): StoreError {
  const what = "a folder of that name is in the way";
  return new StoreError({ operation, object, what, next: "Move the folder away" });
}
