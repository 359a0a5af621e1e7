// The replica's place. This one lasts as long as the worker: put your own store here, one that a browser reaches by fetch.
import { memoryStore } from "pagestream/transports/memory";
import type { ObjectStore } from "pagestream/transports/store-kit";

export const replica: ObjectStore = memoryStore();
