/** The button that changes between light and dark, and remembers it. */

import "./explorer.css";

const KEY = "sdlearn-theme";
const page = document.documentElement;

/** A reader may forbid storage; a choice then lasts as long as the page. */
function stored(theme?: string): string | null {
  try {
    if (theme) localStorage.setItem(KEY, theme);
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function isDark() {
  const own = page.dataset["theme"];
  return own ? own === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export function setUpTheme(button: HTMLElement) {
  const own = stored();
  if (own === "dark" || own === "light") page.dataset["theme"] = own;
  const name = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `${button.textContent} colors`);
  };
  button.addEventListener("click", () => {
    page.dataset["theme"] = isDark() ? "light" : "dark";
    stored(page.dataset["theme"]);
    name();
  });
  name();
}
