// A replica in R2 over HTTP: files, snapshots, pages and changes for whoever has the token.
import { Hono } from "hono";
import { replicaRoutes } from "pagestream/http";
import { type R2Bucket, r2Store } from "pagestream/transports/r2";

interface Bindings {
  readonly BUCKET: R2Bucket;
  readonly TOKEN: string;
}

const app = new Hono<{ Bindings: Bindings }>();
app.route(
  "/db",
  replicaRoutes({
    replica: (c) => r2Store(c.env.BUCKET, { path: "app" }),
    key: () => "app", // one replica for all requests: the store of the first one serves them all
    authorize: (c) => c.req.header("authorization") === `Bearer ${c.env.TOKEN}`,
  }),
);
export default app;
