/**
 * The page to look at: what the routes tell, for people.
 *
 * It is the same for everybody and holds nothing of the replica, so that it is served before anybody is asked who they are; what
 * it shows it asks the routes for, with the token that its reader gives it.
 *
 * @module
 */
import { gunzipSync, strFromU8 } from "fflate";
import type { Context, Hono } from "hono";
import { PAGE, PAGE_POLICY } from "./page-bytes.ts";

/** Serves the page at `/page`, and at `/` to clients that want HTML. Mount it before routes that ask for authorization. */
export function mountPage(app: Hono): void {
  app.get("/page", (c) => answer(c, "page"));
  app.get("/", async (c, next) => (wantsHtml(c) ? answer(c, "root") : await next()));
}

let page: string | undefined;

function answer(c: Context, at: "root" | "page"): Response {
  page ??= strFromU8(gunzipSync(Uint8Array.from(atob(PAGE), (each) => each.charCodeAt(0))));
  c.header("cache-control", "no-cache");
  c.header("content-security-policy", PAGE_POLICY);
  c.header("referrer-policy", "no-referrer");
  c.header("vary", "accept");
  c.header("x-content-type-options", "nosniff");
  return c.html(page.replace('data-at="root"', `data-at="${at}"`));
}

/** Whether HTML is named, and not after JSON: programs that take anything get what programs can read. */
function wantsHtml(c: Context): boolean {
  const types = (c.req.header("accept") ?? "").toLowerCase();
  const html = types.indexOf("text/html");
  const json = types.indexOf("application/json");
  return html >= 0 && (json < 0 || html < json);
}
