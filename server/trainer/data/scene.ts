import type { Rng } from '@plumbline/shared/rng';
import { Picture, type Colour } from './picture.js';

export const sceneColours = {
  red: [215, 45, 45],
  green: [45, 165, 65],
  blue: [55, 85, 220],
  yellow: [235, 215, 60],
  purple: [150, 60, 180],
  orange: [240, 140, 40],
  white: [240, 240, 240],
  teal: [50, 185, 185],
} as const satisfies Record<string, Colour>;
export type SceneColour = keyof typeof sceneColours;
export const colourNames = Object.keys(sceneColours) as SceneColour[];

/** Each shape as a test on a point relative to its centre, in units of its radius. */
const outlines = {
  circle: (x, y) => x * x + y * y <= 1,
  square: (x, y) => Math.abs(x) <= 0.85 && Math.abs(y) <= 0.85,
  triangle: (x, y) => y <= 0.85 && y >= -1 && Math.abs(x) <= (y + 1) * 0.55,
  cross: (x, y) => (Math.abs(x) <= 0.35 && Math.abs(y) <= 1) || (Math.abs(y) <= 0.35 && Math.abs(x) <= 1),
  ring: (x, y) => x * x + y * y <= 1 && x * x + y * y >= 0.3,
  diamond: (x, y) => Math.abs(x) + Math.abs(y) <= 1,
} as const satisfies Record<string, (x: number, y: number) => boolean>;
export type SceneShape = keyof typeof outlines;
export const shapeNames = Object.keys(outlines) as SceneShape[];

/** Cells per side: an object is in a cell of 8x8 pixels, slightly off its middle. */
export const grid = 4;
const cellSize = 8;

export interface SceneObject {
  colour: SceneColour;
  shape: SceneShape;
  row: number;
  column: number;
}

/**
 * Draws objects in reading order, each in its own cell.
 * @param distinct whether no two share a colour or a shape, so that a question can name one by either
 */
export function drawObjects(rng: Rng, count: number, distinct: boolean): SceneObject[] {
  const cells = rng.shuffled(Array.from({ length: grid * grid }, (_, cell) => cell)).slice(0, count);
  cells.sort((a, b) => a - b);
  const colours = rng.shuffled(colourNames);
  const shapes = rng.shuffled(shapeNames);
  return cells.map((cell, index) => ({
    colour: distinct ? colours[index]! : rng.pick(colourNames),
    shape: distinct ? shapes[index]! : rng.pick(shapeNames),
    row: Math.floor(cell / grid),
    column: cell % grid,
  }));
}

/** The content of a scene, without jitter in place, size, tint and background. */
export const sceneContent = (objects: readonly SceneObject[]): string =>
  objects.map(({ colour, shape, row, column }) => `${colour} ${shape} ${row} ${column}`).join(';');

/** Draws the picture of a scene; the jitter comes from `rng`. */
export function drawScene(rng: Rng, objects: readonly SceneObject[]): Uint8Array {
  const jitter = (range: number): number => (rng.uniform() - 0.5) * 2 * range;
  const grey = 15 + rng.uniform() * 55;
  const picture = new Picture([grey + jitter(10), grey + jitter(10), grey + jitter(10)]);
  for (const { colour, shape, row, column } of objects) {
    const x = (column + 0.5) * cellSize + jitter(0.6);
    const y = (row + 0.5) * cellSize + jitter(0.6);
    const radius = 2.9 + rng.uniform() * 0.8;
    const [red, green, blue] = sceneColours[colour].map((value) => Math.max(0, Math.min(255, value + jitter(18))));
    picture.paint(
      { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius },
      [red!, green!, blue!],
      (px, py) => outlines[shape]((px - x) / radius, (py - y) / radius),
    );
  }
  return picture.pixels;
}
