/**
 * A Worker that holds the stores over the web to their contract, from inside workerd.
 *
 * @module
 */
import { runContract } from "../helpers/run-contract.ts";
import { type WebAddresses, webStores } from "../runtime/web-stores.ts";

interface Environment {
  /** Addresses of the servers, as JSON. */
  readonly STORES: string;
}

// oxlint-disable-next-line import/no-default-export -- workerd asks for it.
export default {
  async fetch(request: Request, environment: Environment): Promise<Response> {
    const name = new URL(request.url).searchParams.get("store");
    const stores = webStores(JSON.parse(environment.STORES) as WebAddresses);
    const store = stores.find((each) => each.name === name);
    if (store === undefined) return new Response(`no store ${name}`, { status: 404 });
    return Response.json(await runContract((kit) => store.register(kit, "workerd")));
  },
};
