/**
 * Light or dark: as the system has it, until somebody says otherwise.
 *
 * @module
 */
import { setText } from "./elements.ts";

const KEY = "pagestream-theme";

/** Makes `button` change the theme; calls `changed` after each change. */
export function startTheme(button: HTMLButtonElement, changed: () => void): void {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = (): boolean =>
    (root.dataset["theme"] ?? (system.matches ? "dark" : "light")) === "dark";
  const told = (): void => {
    setText(button, isDark() ? "◑ Light" : "◐ Dark");
    button.setAttribute("aria-label", `Use the ${isDark() ? "light" : "dark"} theme`);
    changed();
  };
  const kept = localStorage.getItem(KEY);
  if (kept === "light" || kept === "dark") root.dataset["theme"] = kept;
  button.addEventListener("click", () => {
    root.dataset["theme"] = isDark() ? "light" : "dark";
    localStorage.setItem(KEY, root.dataset["theme"]);
    told();
  });
  system.addEventListener("change", told);
  told();
}
