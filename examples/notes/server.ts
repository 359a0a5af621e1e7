// The server of the notes: the application's files, and a replica for each notebook. Its address is its key.
import { Hono } from "hono";
import { ingestRoutes, replicaRoutes } from "pagestream/http";
import { prefixedStore } from "pagestream/transports/prefixed";
import type { ObjectStore } from "pagestream/transports/store-kit";

const NOTEBOOK = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const notebookOf = (c: { req: { header(name: string): string | undefined } }): string =>
  c.req.header("authorization")?.replace(/^Bearer /, "") ?? "";

/** Routes for the replicas of all notebooks in a store, to be mounted where the page looks for them. */
export function notesServer(store: ObjectStore): Hono {
  const options = {
    replica: (c) => prefixedStore(store, notebookOf(c)),
    key: notebookOf,
    authorize: (c) => NOTEBOOK.test(notebookOf(c)),
  } satisfies Parameters<typeof ingestRoutes>[0];
  const app = new Hono();
  app.route("/replica", replicaRoutes(options));
  app.route("/replica", ingestRoutes(options));
  return app;
}
