/**
 * A Worker that runs the contract of stores on the bucket bound to it.
 *
 * @module
 */
import { testObjectStore } from "pagestream/testing";
import { type R2Bucket, r2Store } from "pagestream/transports/r2";
import { runContract } from "../helpers/run-contract.ts";

/** Every Worker of the tests has one. */
export class Notes {
  fetch(): Response {
    return new Response();
  }
}

// oxlint-disable-next-line import/no-default-export -- workerd asks for it.
export default {
  async fetch(_request: Request, environment: { readonly BUCKET: R2Bucket }): Promise<Response> {
    const make = (): ReturnType<typeof r2Store> =>
      r2Store(environment.BUCKET, { path: "/contract/", pageSize: 25 });
    const largeSize = 5 * 2 ** 20 + 1000;
    const results = await runContract((kit) =>
      testObjectStore(make, { ...kit, manyObjects: 60, largeSize }),
    );
    return Response.json(results);
  },
};
