/**
 * Routes as data: each says what it is in the words of OpenAPI, and the document is made of what is mounted.
 *
 * @module
 */
import type { Context, Hono, MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { basePath } from "hono/route";
import { InvalidArgumentError } from "../core/errors.ts";
import type { Platform } from "../core/platform.ts";
import type { DescribedRoute } from "./openapi.ts";
import { type RateOptions, RateLimit } from "./rate-limit.ts";
import { Refusal, refusalOf, sendRefusal } from "./refusal.ts";

/** One method of one path. */
export interface Route extends DescribedRoute {
  /** Answers; throws {@linkcode Refusal} or an error of the library for anything else. */
  readonly handle: (c: Context) => Response | Promise<Response>;
}

/**
 * Decides on a request before anything is read: `true` lets it pass, `false` is answered with 401, a `Response` is sent as it is.
 * `operation` is the `operationId` of the OpenAPI document, such as `query`.
 */
export type Authorize = (
  c: Context,
  operation: string,
) => boolean | Response | Promise<boolean | Response>;

/** Who may use routes, from where and how often. */
export interface AccessOptions {
  /** Looks at every request but CORS preflights; `"public"` says that everybody may use the routes. */
  readonly authorize: Authorize | "public";
  /** Origins of pages that may use the routes, or `*`. @default none */
  readonly corsOrigins?: readonly string[] | undefined;
  /** How often one client may ask. @default without a limit */
  readonly rate?: RateOptions | undefined;
  /** Gets each failure that is told to clients in general words only, and the path that was asked for. */
  readonly onFailure?: ((error: unknown, path: string) => void) | undefined;
}

const READ_HEADERS = [
  "authorization",
  "content-type",
  "if-match",
  "if-none-match",
  "if-range",
  "last-event-id",
  "pagestream-position",
  "range",
];
const TOLD_HEADERS = [
  "accept-ranges",
  "content-disposition",
  "content-length",
  "content-location",
  "content-range",
  "date",
  "etag",
  "last-modified",
  "pagestream-commit",
  "pagestream-position",
  "retry-after",
];

/** How long a browser may remember what a preflight said. */
const PREFLIGHT_S = 600;

/** An origin as browsers send it: nothing after the host, and no capitals. */
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\sA-Z]+$/;

/** Refuses options with which anybody, or nobody, could use the routes by mistake. `object` is what is made with them. */
export function checkAccess(access: AccessOptions, object: string): void {
  const { authorize, corsOrigins = [], rate } = access;
  const refuse = (what: string, next: string): never => {
    throw new InvalidArgumentError({ operation: "make", object, what, next });
  };
  if (authorize !== "public" && typeof authorize !== "function") {
    refuse(
      "the hook authorize is missing, and without it anybody could read the database",
      'Give a function that decides on each request, or authorize: "public" for data that anybody may have',
    );
  }
  const wrong = corsOrigins.find((origin) => origin !== "*" && !ORIGIN.test(origin));
  if (wrong !== undefined) {
    refuse(
      `${JSON.stringify(wrong)} in corsOrigins is no origin, and no page would match it`,
      "Write it as browsers do: https://app.example.com, without a path or a final slash",
    );
  }
  const { perSecond = 1, burst = 1 } = rate ?? {};
  if (!(perSecond > 0 && burst >= 1)) {
    refuse(
      `a rate of ${perSecond} per second with a burst of ${burst} would let nothing through`,
      "Give perSecond more than 0 and burst at least 1",
    );
  }
}

/**
 * Adds routes to an application. A request for one of their paths with another method goes on to what is mounted later, and is
 * answered with 405 where nobody knows it.
 */
export function mountRoutes(
  app: Hono,
  routes: readonly Route[],
  { access, platform }: { readonly access: AccessOptions; readonly platform: Platform },
): void {
  const { corsOrigins = [], rate, onFailure } = access;
  const limit = rate && new RateLimit(rate, platform.clock);
  app.onError((error, c) => {
    const { refusal, failed } = refusalOf(error);
    // A client that has gone is no failure.
    if (failed && !c.req.raw.signal.aborted) onFailure?.(error, c.req.path);
    return sendRefusal(c, refusal);
  });
  for (const path of new Set(routes.map((route) => route.path))) {
    const here = routes.filter((route) => route.path === path);
    const methods = here.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
    const door = guard({ here, methods, access, limit });
    if (corsOrigins.length > 0) app.use(path, crossOrigin(corsOrigins, methods));
    app.use(path, door);
    for (const { method, handle } of here) {
      app.on(method, path, (c) => seenThrough(c, handle(c)));
    }
  }
}

/** Answers what no route has: 404, for those who may know; the mount with a final slash leads to the one without. Mount it last. */
export function mountFallback(app: Hono, access: AccessOptions): void {
  app.use("*", async (c, next) => {
    await next();
    if (c.res.status !== 404) return;
    const { method, path } = c.req;
    if (["GET", "HEAD"].includes(method) && path === `${basePath(c)}/`) {
      // As people type it. What lies in front may have another path for the mount, so the way there is a relative one.
      c.res = c.redirect(`../${path.split("/").at(-2)}`, 308);
    } else c.res = send(c, (await denied(c, access, "none")) ?? noRoute(c));
  });
}

/** Where a runtime ends what a request has begun as soon as its client goes, lets it end by itself: it has something to give back. */
function seenThrough(
  c: Context,
  answer: Response | Promise<Response>,
): Response | Promise<Response> {
  let execution: Context["executionCtx"];
  try {
    execution = c.executionCtx;
  } catch {
    // Other runtimes have none.
    return answer;
  }
  execution.waitUntil(Promise.resolve(answer).catch(() => undefined));
  return answer;
}

function noRoute(c: Context): Refusal {
  return isEncoded(c.req.raw.url)
    ? new Refusal("NOT_FOUND", "there is no such route")
    : new Refusal("BAD_REQUEST", "the path is not encoded as URLs are");
}

interface Guarded {
  readonly here: readonly Route[];
  readonly methods: readonly string[];
  readonly access: AccessOptions;
  readonly limit: RateLimit | undefined;
}

function guard({ here, methods, access, limit }: Guarded): MiddlewareHandler {
  return async (c, next) => {
    const { method } = c.req;
    const asked = method === "HEAD" ? "GET" : method;
    const route = here.find((each) => each.method === asked);
    if (route === undefined) {
      await next();
      if (c.res.status !== 404) return;
    } else c.header("x-content-type-options", "nosniff");
    const refused = await denied(c, access, route?.operation.operationId ?? "none");
    // Whoever is refused counts, too. The hook comes first, for it may know who asks.
    const waitS = limit?.take(c) ?? 0;
    if (waitS > 0) {
      const headers = { "retry-after": String(waitS) };
      throw new Refusal("RATE_LIMITED", "too many requests", headers);
    }
    if (refused !== undefined) c.res = send(c, refused);
    else if (route !== undefined) await next();
    else sendRefusal(c, wrongMethod(methods));
  };
}

function wrongMethod(methods: readonly string[]): Refusal {
  const allow = methods.join(", ");
  return new Refusal("METHOD_NOT_ALLOWED", `only ${allow} are known here`, { allow });
}

/** The answer for a client that may not; undefined for one that may. */
async function denied(
  c: Context,
  { authorize }: AccessOptions,
  operation: string,
): Promise<Response | Refusal | undefined> {
  const verdict = authorize === "public" ? true : await authorize(c, operation);
  if (verdict === true) return undefined;
  if (verdict instanceof Response) return verdict;
  const headers = { "www-authenticate": 'Bearer realm="pagestream"' };
  return new Refusal("UNAUTHORIZED", "this needs authorization", headers);
}

function send(c: Context, answer: Response | Refusal): Response {
  return answer instanceof Refusal ? sendRefusal(c, answer) : answer;
}

function crossOrigin(origins: readonly string[], methods: readonly string[]): MiddlewareHandler {
  const handler = cors({
    origin: origins.includes("*") ? "*" : [...origins],
    allowMethods: [...methods],
    allowHeaders: READ_HEADERS,
    exposeHeaders: TOLD_HEADERS,
    maxAge: PREFLIGHT_S,
  });
  return async (c, next) => {
    const wanted = c.req.header("access-control-request-method");
    // Another method may be known to what is mounted later, which has a preflight of its own.
    const isOurs = c.req.method !== "OPTIONS" || (wanted !== undefined && methods.includes(wanted));
    return isOurs ? await handler(c, next) : await next();
  };
}

function isEncoded(url: string): boolean {
  try {
    decodeURIComponent(new URL(url).pathname);
    return true;
  } catch {
    return false;
  }
}
