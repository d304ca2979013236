/** An 8x8 board of cells to point at or paint on, by mouse, finger or keys. */

import { canvas, h } from "./dom";
import { paint } from "./pixels";

const MOVES: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

type Act = (cell: number) => void;

/** `act` hears which cells are painted, `point` where the cursor is. */
export function board(label: string, side: number, act: Act, point: Act = () => undefined) {
  const surface = canvas("", side);
  const cursor = h("span", { class: "cursor" });
  const spoken = h("span", { class: "hidden", "aria-live": "polite" });
  const within = (v: number) => Math.max(0, Math.min(side - 1, Math.floor(v)));
  let [x, y] = [side >> 1, side >> 1];

  function move(toX: number, toY: number) {
    [x, y] = [within(toX), within(toY)];
    cursor.style.left = `${(100 * x) / side}%`;
    cursor.style.top = `${(100 * y) / side}%`;
    point(y * side + x);
  }
  function pointed(event: Event) {
    const { clientX, clientY, buttons } = event as PointerEvent;
    const box = element.getBoundingClientRect();
    const scale = side / box.width;
    move((clientX - box.left) * scale, (clientY - box.top) * scale);
    if (buttons) act(y * side + x);
  }
  function pressed(event: Event) {
    const { key } = event as KeyboardEvent;
    const step = MOVES[key];
    if (step) {
      move(x + step[0], y + step[1]);
      spoken.textContent = `row ${y + 1}, column ${x + 1}`;
    } else if (key === " " || key === "Enter") act(y * side + x);
    else return;
    event.preventDefault();
  }

  const name = `${label}. Arrow keys move, space acts.`;
  const role = { tabindex: 0, role: "application", "aria-label": name };
  const listeners = { pointerdown: pointed, pointermove: pointed, keydown: pressed };
  const props = { class: "board", ...role, ...listeners };
  const element = h("div", props, surface, cursor, spoken);
  move(x, y);
  return { element, show: (pixels: ImageData) => paint(surface, pixels) };
}
