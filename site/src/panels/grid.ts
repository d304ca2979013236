/** An 8x8 board of cells to point at or paint on, by mouse, finger or keys. */

import { canvas, h } from "./dom";
import { paint } from "./pixels";

const MOVES: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export interface Board {
  element: HTMLElement;
  show(pixels: ImageData): void;
}

/** `point` hears where the cursor is, `act` which cells are painted. */
export function board(
  label: string,
  side: number,
  point: (cell: number) => void,
  act: (cell: number) => void,
): Board {
  const surface = canvas("", side);
  const cursor = h("span", { class: "cursor" });
  const spoken = h("span", { class: "hidden", "aria-live": "polite" });
  let cell = side * (side >> 1) + (side >> 1);

  function move(next: number, spell = false) {
    cell = next;
    const [x, y] = [cell % side, Math.floor(cell / side)];
    cursor.style.left = `${(100 * x) / side}%`;
    cursor.style.top = `${(100 * y) / side}%`;
    if (spell) spoken.textContent = `row ${y + 1}, column ${x + 1}`;
    point(cell);
  }

  function pointed(event: PointerEvent) {
    const box = element.getBoundingClientRect();
    const at = (v: number, size: number) =>
      Math.max(0, Math.min(side - 1, Math.floor((side * v) / size)));
    const x = at(event.clientX - box.left, box.width);
    move(at(event.clientY - box.top, box.height) * side + x);
    if (event.buttons) act(cell);
  }

  function pressed(event: KeyboardEvent) {
    const step = MOVES[event.key];
    if (step) {
      const x = Math.max(0, Math.min(side - 1, (cell % side) + step[0]));
      const y = Math.max(0, Math.min(side - 1, Math.floor(cell / side) + step[1]));
      move(y * side + x, true);
    } else if (event.key === " " || event.key === "Enter") act(cell);
    else return;
    event.preventDefault();
  }

  const element = h(
    "div",
    {
      class: "board",
      tabindex: 0,
      role: "application",
      "aria-label": `${label}. Arrow keys move, space acts.`,
      pointerdown: (event) => pointed(event as PointerEvent),
      pointermove: (event) => pointed(event as PointerEvent),
      keydown: (event) => pressed(event as KeyboardEvent),
    },
    surface,
    cursor,
    spoken,
  );
  move(cell);
  return { element, show: (pixels) => paint(surface, pixels) };
}
