// What page and worker tell each other.

/** To the worker. */
export type Order =
  | { readonly type: "begin"; readonly notebook: string; readonly remembered: boolean }
  | { readonly type: "add"; readonly body: string }
  | { readonly type: "delete"; readonly id: number }
  | { readonly type: "flush" };

/** A note, and whether the replica has it; `undefined` until the server has been asked. */
export interface Note {
  readonly id: number;
  readonly body: string;
  readonly safe: boolean | undefined;
}

/** To the page. */
export type News =
  | {
      readonly type: "notes";
      readonly notes: readonly Note[];
      /** How many notes, deleted ones too, are not known to be safe. */
      readonly waiting: number;
      /** Whether the server has been asked yet. */
      readonly checked: boolean;
      readonly online: boolean;
    }
  | { readonly type: "returned"; readonly body: string }
  | { readonly type: "waiting" | "elsewhere" }
  | { readonly type: "restoring"; readonly part: number }
  | { readonly type: "evicted"; readonly restored: boolean }
  | { readonly type: "failed"; readonly message: string };
