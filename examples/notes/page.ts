// The page: shows what the worker tells, and tells it what only a page knows.
import { flushOnHide, requestPersistence } from "pagestream";
import type { News, Note, Order } from "./notebook.ts";

// Whoever has the address of a notebook has the notebook, on any device.
const notebook = location.hash.slice(1) || localStorage.getItem("notebook") || crypto.randomUUID();
history.replaceState(null, "", `#${notebook}`);
localStorage.setItem("notebook", notebook);
const known = `known ${notebook}`;

const find = <E extends Element>(selector: string): E => document.querySelector<E>(selector)!;
const status = find<HTMLElement>("[role=status]");
const form = find<HTMLFormElement>("form");
const body = find<HTMLTextAreaElement>("textarea");
const keep = find<HTMLButtonElement>("form button");
const here = find<HTMLButtonElement>("#here");
const list = find<HTMLUListElement>("ul");
find<HTMLAnchorElement>("#link").href = location.href;

const worker = new Worker("worker.js", { type: "module" });
const order = (what: Order): void => worker.postMessage(what);
const begin = (): void =>
  order({ type: "begin", notebook, remembered: localStorage.getItem(known) !== null });

function item({ id, body: text, safe }: Note): HTMLLIElement {
  const li = document.createElement("li");
  const note = document.createElement("p");
  const state = document.createElement("small");
  const remove = document.createElement("button");
  note.textContent = text;
  state.textContent = safe === undefined ? "not checked" : safe ? "safe" : "only here";
  remove.textContent = "Delete";
  remove.ariaLabel = `Delete note: ${text.slice(0, 40)}`;
  remove.addEventListener("click", () => order({ type: "delete", id }));
  li.append(note, state, remove);
  return li;
}

function show(news: News): void {
  if (news.type === "returned") {
    body.value = news.body + body.value;
    return;
  }
  keep.disabled = news.type !== "notes";
  here.hidden = news.type !== "elsewhere";
  if (news.type === "notes") {
    const none = news.checked ? "All notes are safe" : "Not checked";
    const all = news.waiting === 0 ? none : `${news.waiting} not known to be safe`;
    status.textContent = news.online ? all : `Offline. ${all}`;
    list.replaceChildren(...news.notes.map(item));
    localStorage.setItem(known, "");
  }
  if (news.type === "waiting") status.textContent = "Waiting for another tab…";
  if (news.type === "restoring") status.textContent = `Fetching ${Math.floor(news.part * 100)} %`;
  if (news.type === "elsewhere") status.textContent = "The notes are open in another tab";
  if (news.type === "failed") status.textContent = news.message;
  if (news.type === "evicted") {
    const outcome = news.restored ? "They are back" : "There was no copy of them";
    alert(`The browser had cleared the notes. ${outcome}.`);
  }
}

worker.addEventListener("message", ({ data }: MessageEvent<News | "ready">) => {
  if (data === "ready") begin();
  else show(data);
});
worker.addEventListener("error", ({ message }) => show({ type: "failed", message }));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  order({ type: "add", body: body.value });
  form.reset();
  // Now there is something worth keeping.
  void requestPersistence();
});
here.addEventListener("click", begin);
addEventListener("online", () => order({ type: "flush" }));
flushOnHide(() => order({ type: "flush" }));
void navigator.serviceWorker.register("service-worker.js");
