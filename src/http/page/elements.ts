/**
 * Elements of the page by their ids, which are known to be there.
 *
 * @module
 */

/** The element with an id, of a class. */
export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${id}`);
  return found;
}

/** Replaces the text of an element, where it changes: a live region is read again for each change. */
export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A table row of texts. */
export function tableRow(
  cells: readonly { readonly text: string; readonly mark?: string }[],
): HTMLElement {
  const row = document.createElement("tr");
  for (const { text, mark } of cells) {
    const cell = document.createElement("td");
    cell.textContent = text;
    if (mark !== undefined) cell.className = mark;
    row.append(cell);
  }
  return row;
}
