/*
 * Pictures of any size for a tower that sees squares: the whole picture, squeezed, and the picture in tiles (LLaVA-NeXT,
 * LLaVA-OneVision). All of it is integers and is worked out on the host. Numbers are rounded as transformers rounds them,
 * so that the visual tokens of every picture are as many.
 */

/** Height and width: of pictures in pixels, of tiles and grids in patches or cells. */
export type Size = readonly [height: number, width: number];

export interface Tiling {
  /** Sizes that a picture may be fitted into; each is a whole number of tiles. */
  resolutions: readonly Size[];
  /** Side of a tile in pixels. */
  tile: number;
  /** Side of a tile in patches. */
  side: number;
  /** The number of tiles whose tokens a picture may have; with more, its features are scaled down. */
  most?: number;
}

/**
 * The resolution that shows most of a picture's pixels, and of those the one that wastes least.
 * @throws Error when the picture is so narrow that nothing of it is left in any
 */
export function bestResolution([height, width]: Size, resolutions: readonly Size[]): Size {
  let best: Size | undefined;
  let [shown, wasted] = [0, Infinity];
  for (const [high, wide] of resolutions) {
    const scale = Math.min(wide / width, high / height);
    const effective = Math.min(Math.trunc(width * scale) * Math.trunc(height * scale), width * height);
    const waste = high * wide - effective;
    if (effective > shown || (effective === shown && effective > 0 && waste < wasted)) {
      [shown, wasted] = [effective, waste];
      best = [high, wide];
    }
  }
  if (!best) throw new Error(`A picture of ${width} x ${height} pixels is too narrow for this model. Crop it.`);
  return best;
}

/** The size of a picture within a resolution, in its own proportions. */
export function fitInside([height, width]: Size, [high, wide]: Size): Size {
  const [across, down] = [wide / width, high / height];
  return across < down
    ? [Math.min(Math.ceil(height * across), high), wide]
    : [high, Math.min(Math.ceil(width * down), wide)];
}

/** Rounded to seven decimals before it is cut off, as transformers does against errors in the last bits. */
const cutOff = (value: number): number => Math.trunc(Number(value.toFixed(7)));

/** Python's `//` of positive numbers: exact, where the quotient itself is rounded. */
const floorDivide = (a: number, b: number): number => Math.round((a - (a % b)) / b);

/** The part of a grid of patches that a picture covers; the rest of it is padding. */
export function unpadded([height, width]: Size, [high, wide]: Size): { top: number; left: number; size: Size } {
  if (width / height > wide / high) {
    const top = Math.floor((high - cutOff(height * (wide / width))) / 2);
    return { top, left: 0, size: [high - 2 * top, wide] };
  }
  const left = Math.floor((wide - cutOff(width * (high / height))) / 2);
  return { top: 0, left, size: [high, wide - 2 * left] };
}

/** What each visual token of a picture is made of. */
export interface Packing {
  /**
   * [tokens]: a row of the picture's features, `newline`, or -2 - b for the blend b. Features are in the order of the
   * tower: the whole picture, then the tiles row by row, of each its patches row by row.
   */
  tokens: Int32Array;
  /** The four features of each blend, and their weights. */
  blended: { rows: Int32Array; weights: Float32Array };
}

/** The token that ends a row of patches. */
export const newline = -1;
const noBlends: Packing['blended'] = { rows: new Int32Array(), weights: new Float32Array() };
const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** One feature after another: a picture that is seen as a whole. @param ends whether a newline comes last */
export const packWhole = (features: number, { ends }: { ends: boolean }): Packing => ({
  tokens: Int32Array.from(ends ? [...range(features), newline] : range(features)),
  blended: noBlends,
});

/** The whole picture, then the tiles joined to one map, without padding and with a newline after each row of patches. */
export function packTiles(size: Size, { resolutions, tile, side, most }: Tiling): Packing {
  const [high, wide] = bestResolution(size, resolutions);
  const across = wide / tile;
  const { top, left, size: map } = unpadded(size, [(high / tile) * side, across * side]);
  /** The feature at a place of the map. */
  const featureAt = (row: number, column: number): number => {
    const [y, x] = [top + row, left + column];
    const tileAt = Math.floor(y / side) * across + Math.floor(x / side);
    return (1 + tileAt) * side * side + (y % side) * side + (x % side);
  };
  const ratio = most === undefined ? 0 : Math.sqrt((map[0] * map[1]) / (most * side ** 2));
  const whole = range(side * side);
  if (ratio <= 1.1) {
    const rows = range(map[0]).flatMap((y) => [...range(map[1]).map((x) => featureAt(y, x)), newline]);
    return { tokens: Int32Array.from([...whole, ...rows]), blended: noBlends };
  }
  const smaller: Size = [floorDivide(map[0], ratio), floorDivide(map[1], ratio)];
  const rows = range(smaller[0]).flatMap((y) => [...range(smaller[1]).map((x) => -2 - (y * smaller[1] + x)), newline]);
  return { tokens: Int32Array.from([...whole, ...rows]), blended: blend(map, smaller, featureAt) };
}

/** Bilinear interpolation without antialiasing, the centres of the pixels aligned (torch's, with `align_corners=False`). */
function blend(from: Size, to: Size, featureAt: (row: number, column: number) => number): Packing['blended'] {
  const count = to[0] * to[1];
  const [rows, weights] = [new Int32Array(count * 4), new Float32Array(count * 4)];
  const [down, across] = [neighbours(from[0], to[0]), neighbours(from[1], to[1])];
  let at = 0;
  for (const [y0, y1, lower] of down)
    for (const [x0, x1, right] of across)
      for (const [y, x, weight] of [
        [y0, x0, (1 - lower) * (1 - right)],
        [y0, x1, (1 - lower) * right],
        [y1, x0, lower * (1 - right)],
        [y1, x1, lower * right],
      ] as const) {
        rows[at] = featureAt(y, x);
        weights[at++] = weight;
      }
  return { rows, weights };
}

/** For each place of the result: the places before and after its source, and the share of the latter. */
function neighbours(from: number, to: number): [before: number, after: number, share: number][] {
  const scale = Math.fround(from / to);
  return range(to).map((place) => {
    const source = Math.max(0, Math.fround(Math.fround((place + 0.5) * scale) - 0.5));
    const before = Math.min(Math.trunc(source), from - 1);
    return [before, Math.min(before + 1, from - 1), source - before];
  });
}
