/** Numbers to pixels. Arrays are row by row, as in the engine. */

import type { App } from "../app";
import type { ModelInfo } from "../engine/types";

type Color = readonly [number, number, number];

/** The latents whose picture a canvas waits for. */
const awaited = new WeakMap<HTMLCanvasElement, Float32Array>();

/** Puts pixels on a canvas, which takes their size; without pixels it is emptied. */
export function paint(canvas: HTMLCanvasElement, pixels: ImageData | null): void {
  awaited.delete(canvas);
  if (!pixels) return canvas.getContext("2d")!.clearRect(0, 0, canvas.width, canvas.height);
  if (canvas.width !== pixels.width) canvas.width = pixels.width;
  if (canvas.height !== pixels.height) canvas.height = pixels.height;
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
}

/** Puts decoded latents on a canvas, unless something newer has come for it. */
export async function paintDecoded(
  app: App,
  canvas: HTMLCanvasElement,
  latents: Float32Array,
  change = (picture: ImageData) => picture,
) {
  awaited.set(canvas, latents);
  const picture = await app.picture(latents);
  if (awaited.get(canvas) === latents) paint(canvas, change(picture));
}

/** A picture from a function of the pixel's index. */
export function draw(width: number, height: number, color: (i: number) => Color) {
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    pixels.data.set(color(i), 4 * i);
    pixels.data[4 * i + 3] = 255;
  }
  return pixels;
}

/** Four channels as three colors, by the linear map that fits pictures best. */
export function latentsInColor(latents: Float32Array, info: ModelInfo): ImageData {
  const size = info.latentSize ** 2;
  const rows = info.latentColors;
  const bias = rows[info.channels]!;
  const mixed = (i: number, c: number) => {
    let sum = bias[c]!;
    for (let k = 0; k < info.channels; k++) sum += latents[k * size + i]! * rows[k]![c]!;
    return 127.5 * (sum + 1);
  };
  const side = info.latentSize;
  return draw(side, side, (i) => [mixed(i, 0), mixed(i, 1), mixed(i, 2)]);
}

const mix = (a: Color, b: Color, w: number): Color => [
  a[0] + (b[0] - a[0]) * w,
  a[1] + (b[1] - a[1]) * w,
  a[2] + (b[2] - a[2]) * w,
];
const BELOW: Color = [35, 92, 178];
const ZERO: Color = [250, 247, 240];
const ABOVE: Color = [222, 98, 22];

/** Blue below zero, pale at zero, orange above; `most` is the strongest. */
export function signed(value: number, most: number): Color {
  const strength = Math.min(1, Math.abs(value) / most);
  return mix(ZERO, value < 0 ? BELOW : ABOVE, strength);
}

/** A map of numbers around zero. */
export function signedMap(values: ArrayLike<number>, width: number, most: number) {
  const height = values.length / width;
  return draw(width, height, (i) => signed(values[i]!, most));
}

export function rangeOf(values: ArrayLike<number>) {
  const list = Array.from(values);
  const least = Math.min(...list);
  const most = Math.max(...list);
  return { least, most, span: most - least || 1 };
}

/** A small square map at a place between its cells, x and y in cells. */
export function between(map: ArrayLike<number>, side: number, x: number, y: number) {
  const clamp = (v: number) => Math.max(0, Math.min(side - 1, v));
  const [left, top] = [Math.floor(clamp(x)), Math.floor(clamp(y))];
  const [right, bottom] = [clamp(left + 1), clamp(top + 1)];
  const [u, v] = [clamp(x) - left, clamp(y) - top];
  const upper = map[top * side + left]! * (1 - u) + map[top * side + right]! * u;
  const lower = map[bottom * side + left]! * (1 - u) + map[bottom * side + right]! * u;
  return upper * (1 - v) + lower * v;
}

/** The picture lit where the map is high; the rest is grey and dark. */
export function spotlight(picture: ImageData, map: Float32Array): ImageData {
  const { width, height, data } = picture;
  const side = Math.sqrt(map.length);
  const { least, span } = rangeOf(map);
  return draw(width, height, (i) => {
    const x = (((i % width) + 0.5) * side) / width - 0.5;
    const y = ((Math.floor(i / width) + 0.5) * side) / height - 0.5;
    const light = (between(map, side, x, y) - least) / span;
    const color: Color = [data[4 * i]!, data[4 * i + 1]!, data[4 * i + 2]!];
    const grey = 0.12 * (color[0] + color[1] + color[2]) + 8;
    return mix([grey, grey, grey], color, light ** 1.4);
  });
}

/** Where two pictures differ, dark where they do not; and how many pixels do visibly. */
export function changeOf(before: ImageData, after: ImageData): [ImageData, number] {
  let count = 0;
  const map = draw(before.width, before.height, (i) => {
    const colors = [4 * i, 4 * i + 1, 4 * i + 2];
    const changes = colors.map((k) => Math.abs(before.data[k]! - after.data[k]!));
    const sum = changes.reduce((a, b) => a + b);
    if (Math.max(...changes) >= 8) count++;
    return [24 + sum, 24 + sum, 40 + sum * 0.8]; // a picture has no more than 255
  });
  return [map, count];
}

/** The part of the picture where a map has its most: "the middle on the left". */
export function regionOf(map: ArrayLike<number>): string {
  const side = Math.sqrt(map.length);
  let at = 0;
  for (let i = 1; i < map.length; i++) if (map[i]! > map[at]!) at = i;
  const third = (v: number) => Math.min(2, Math.floor((3 * v) / side));
  const row = ["upper part", "middle", "lower part"][third(Math.floor(at / side))]!;
  const column = ["on the left", "", "on the right"][third(at % side)]!;
  return `the ${row} ${column}`.trim();
}
