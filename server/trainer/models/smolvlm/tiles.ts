import type { Size } from '../layers/anyres.js';

/*
 * The geometry of the pictures of SmolVLM and Idefics3: sizes, tiles and patches, all integers worked out on the host.
 */

/** No picture is resized beyond this side. */
const longestSide = 4096;

/** Makes the longest side `longest` pixels long; the other follows and is even. */
export function fitLongest([height, width]: Size, longest: number): Size {
  const even = (side: number): number => Math.max(1, side + (side % 2));
  const aspect = width / height;
  const fitted: Size =
    width >= height ? [even(Math.trunc(longest / aspect)), longest] : [longest, even(Math.trunc(longest * aspect))];
  const [high, wide] = fitted;
  if (Math.max(high, wide) <= longestSide) return fitted;
  const ratio = wide / high;
  return wide >= high
    ? [Math.max(1, Math.trunc(longestSide / ratio)), longestSide]
    : [longestSide, Math.max(1, Math.trunc(longestSide * ratio))];
}

/** Rounds both sides up to whole tiles: the longer one first, then the other, as the longer one's growth makes it. */
export function fitTiles([height, width]: Size, tile: number): Size {
  const whole = (side: number): number => Math.max(1, Math.ceil(side / tile)) * tile;
  const aspect = width / height;
  if (width >= height) {
    const wide = whole(width);
    return [whole(Math.trunc(wide / aspect)), wide];
  }
  const high = whole(height);
  return [high, whole(Math.trunc(high * aspect))];
}

/**
 * The order in which a tile's patches are taken, so that those of a block are neighbours: blocks row by row, in each its
 * patches row by row. The pixel shuffle joins the features of a block to one token.
 * @param side of a tile in patches @param block side of a block in patches
 * @returns [side * side] indices into the patches row by row
 */
export function patchOrder(side: number, block: number): Int32Array {
  const order = new Int32Array(side * side);
  let at = 0;
  for (let top = 0; top < side; top += block)
    for (let left = 0; left < side; left += block)
      for (let row = top; row < top + block; row++)
        for (let column = left; column < left + block; column++) order[at++] = row * side + column;
  return order;
}

/**
 * The row of the position embedding for each patch of a tile, row by row: its place as a fraction of the tile, in the
 * grid that the embedding was pretrained on (Dehghani et al. 2023, NaViT).
 *
 * Transformers computes the fractions in single precision. For some sides that no published model has, a few patches
 * then fall one place lower, which ones depends on the processor's vectors.
 * @param side of the tile in patches @param grid side of the pretrained grid
 */
export function positionBuckets(side: number, grid: number): Int32Array {
  const bucket = (place: number): number => Math.floor((place * grid) / side);
  return Int32Array.from({ length: side * side }, (_, at) => {
    return bucket(Math.floor(at / side)) * grid + bucket(at % side);
  });
}

/**
 * What stands for a picture in the text.
 * @param tiles rows and columns of tiles; none where the picture is one tile
 * @param tokens of a tile
 */
export function pictureText(tiles: { rows: number; columns: number } | undefined, tokens: number): string {
  const around = '<fake_token_around_image>';
  const placeholders = '<image>'.repeat(tokens);
  const whole = `${around}<global-img>${placeholders}${around}`;
  if (!tiles) return whole;
  const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
  const rows = numbers(tiles.rows).map((row) =>
    numbers(tiles.columns)
      .map((column) => `${around}<row_${row}_col_${column}>${placeholders}`)
      .join(''),
  );
  return `${rows.join('\n')}\n\n${whole}`;
}
