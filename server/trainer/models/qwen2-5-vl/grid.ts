import type { Size } from '../layers/anyres.js';

/*
 * The geometry of Qwen2.5-VL's pictures: sizes, patches, cells and windows, all integers worked out on the host. A cell
 * is a square of patches that the merger makes one visual token of (2 x 2 as published). Patches are ordered by cell,
 * cells row by row, so that the patches of a cell are neighbours.
 */

export interface PixelLimits {
  /** The fewest and the most pixels of a resized picture. */
  least: number;
  most: number;
}

/** The longest side of a picture, measured in its shortest. */
const maxAspectRatio = 200;

/** Python's round: halves go to the even neighbour. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/**
 * The size that a picture is resized to: nearly its proportions, both sides multiples of `side`.
 * @param side of a cell in pixels
 * @throws Error when one side is more than 200 times the other
 */
export function smartResize([height, width]: Size, side: number, { least, most }: PixelLimits): Size {
  const ratio = Math.max(height, width) / Math.min(height, width);
  if (!(ratio <= maxAspectRatio))
    throw new Error(
      `A picture of ${width} x ${height} pixels is too narrow for this model: one side may be ${maxAspectRatio} times the other. Crop it.`,
    );
  const resized: Size = [roundHalfEven(height / side) * side, roundHalfEven(width / side) * side];
  const pixels = resized[0] * resized[1];
  if (pixels > most) {
    const shrink = Math.sqrt((height * width) / most);
    const down = (length: number): number => Math.max(side, Math.floor(length / shrink / side) * side);
    return [down(height), down(width)];
  }
  if (pixels < least) {
    const grow = Math.sqrt(least / (height * width));
    const up = (length: number): number => Math.ceil((length * grow) / side) * side;
    return [up(height), up(width)];
  }
  return resized;
}

/**
 * Row and column of each patch, by cell.
 * @param grid in patches @param merge side of a cell in patches
 */
export function patchPositions([height, width]: Size, merge: number): { rows: Int32Array; columns: Int32Array } {
  const [rows, columns] = [new Int32Array(height * width), new Int32Array(height * width)];
  let at = 0;
  for (let top = 0; top < height; top += merge)
    for (let left = 0; left < width; left += merge)
      for (let row = top; row < top + merge; row++)
        for (let column = left; column < left + merge; column++, at++) {
          rows[at] = row;
          columns[at] = column;
        }
  return { rows, columns };
}

/** A picture's cells, cut into square windows. */
export interface Windows {
  /** [cells]: the numbers of the cells, window by window; windows and the cells within them row by row. */
  order: Int32Array;
  /** Cells of each window. */
  lengths: readonly number[];
}

/**
 * The windows that most blocks attend within; those at the right and at the bottom may be smaller.
 * @param cells height and width in cells @param side of a window in cells
 */
export function windowsOf([height, width]: Size, side: number): Windows {
  const order: number[] = [];
  const lengths: number[] = [];
  for (let top = 0; top < height; top += side)
    for (let left = 0; left < width; left += side) {
      const before = order.length;
      for (let row = top; row < Math.min(top + side, height); row++)
        for (let column = left; column < Math.min(left + side, width); column++) order.push(row * width + column);
      lengths.push(order.length - before);
    }
  return { order: Int32Array.from(order), lengths };
}

/** Where each token of a text with pictures stands in time and in the picture. */
export interface TextPositions {
  /** Of the axes time, height and width: [tokens] each. */
  axes: readonly [time: Int32Array, height: Int32Array, width: Int32Array];
  /** The position of the token behind the last. */
  next: number;
}

/**
 * M-RoPE's positions. Text counts up on all axes; the tokens of a picture keep the time and count its rows and columns,
 * and the text behind it goes on after the largest of them.
 * @param pictures height and width in cells of each picture
 * @param pictureToken the id of the placeholders
 * @throws Error when the placeholders of a picture do not lie side by side, or are too few
 */
export function textPositions(ids: Int32Array, pictures: readonly Size[], pictureToken: number): TextPositions {
  const axes = [0, 1, 2].map(() => new Int32Array(ids.length)) as [Int32Array, Int32Array, Int32Array];
  const [time, height, width] = axes;
  let [next, picture] = [0, 0];
  for (let at = 0; at < ids.length;) {
    const size = ids[at] === pictureToken ? pictures[picture] : undefined;
    if (!size) {
      time[at] = height[at] = width[at] = next++;
      at++;
      continue;
    }
    const [rows, columns] = size;
    const end = at + rows * columns;
    for (let cell = 0; at < end; cell++, at++) {
      if (ids[at] !== pictureToken)
        throw new Error(`has fewer than ${rows * columns} placeholders side by side for its picture ${picture + 1}`);
      time[at] = next;
      height[at] = next + Math.floor(cell / columns);
      width[at] = next + (cell % columns);
    }
    next += Math.max(rows, columns);
    picture++;
  }
  return { axes, next };
}
