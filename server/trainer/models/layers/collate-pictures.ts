import { bucket } from '../collate.js';
import type { PreparedPicture } from '../model.js';
import { newline, packTiles, packWhole, type Packing, type Size } from './anyres.js';
import type { PictureTextConfiguration } from './picture-text-configuration.js';
import type { CollatedPictures } from './vision-language-model.js';
import { towerPositions } from './vision-tower.js';

/** Features that the projector makes of each tile. */
const featuresOfTile = ({ vision, withoutFirst }: PictureTextConfiguration): number =>
  towerPositions(vision) - (withoutFirst ? 1 : 0);

/** How a picture's features become its tokens. @param tiles number of tiles, the whole picture included */
export function packingOf(configuration: PictureTextConfiguration, size: Size, tiles: number): Packing {
  const { tiling } = configuration;
  if (tiling && tiles > 1) return packTiles(size, tiling);
  return packWhole(featuresOfTile(configuration), { ends: tiling !== undefined });
}

/**
 * What the pictures of a batch add to its inputs:
 * - `patches` [tiles * side * side, 3 * patch * patch], padded with zeros up to a bucket of tiles
 * - `blend_rows` [Q * 4] int32, rows of the features, and `blend_weights` [Q, 4]: visual tokens between features
 * @returns rows of the features, the newline and the blends, in this order
 */
export function collatePictures(
  configuration: PictureTextConfiguration,
  pictures: readonly PreparedPicture[],
): CollatedPictures {
  const { side, patch } = configuration.vision;
  const packings = pictures.map(({ size, grids }) => packingOf(configuration, size, grids.length));
  const used = pictures.reduce((sum, { grids }) => sum + grids.length, 0);
  // Few numbers of tiles, so that most batches run the same functions.
  const tiles = bucket(used, 1);
  const blends = packings.reduce((sum, { blended }) => sum + blended.weights.length / 4, 0);
  const newlineRow = tiles * featuresOfTile(configuration);
  const patches = new Float32Array(tiles * side ** 2 * 3 * patch ** 2);
  const blendRows = new Int32Array(bucket(blends) * 4);
  const blendWeights = new Float32Array(blendRows.length);
  let [tile, blend] = [0, 0];
  const rows = pictures.map((picture, index) => {
    const { tokens, blended } = packings[index]!;
    const feature = tile * featuresOfTile(configuration);
    const firstBlend = newlineRow + 1 + blend;
    patches.set(picture.patches, tile * side ** 2 * 3 * patch ** 2);
    blended.rows.forEach((row, i) => (blendRows[blend * 4 + i] = feature + row));
    blendWeights.set(blended.weights, blend * 4);
    tile += picture.grids.length;
    blend += blended.weights.length / 4;
    return tokens.map((token) => {
      if (token === newline) return newlineRow;
      return token >= 0 ? feature + token : firstBlend - 2 - token;
    });
  });
  return {
    rows,
    inputs: {
      patches: { shape: [tiles * side ** 2, 3 * patch ** 2], data: patches },
      ...(blends > 0 && {
        blend_rows: { shape: [blendRows.length], data: blendRows },
        blend_weights: { shape: [blendRows.length / 4, 4], data: blendWeights },
      }),
    },
  };
}

/** Why a picture was not prepared for this model; undefined where it was. */
export function pictureFault(
  configuration: PictureTextConfiguration,
  { patches, rows, grids, tokens, size }: PreparedPicture,
): string | undefined {
  const { side, patch } = configuration.vision;
  if (grids.some(([height, width]) => height !== side || width !== side))
    return `its tiles are not of ${side} x ${side} patches`;
  if (rows !== grids.length * side ** 2) return `it has ${rows} patches in ${grids.length} tiles`;
  if (patches.length !== rows * 3 * patch ** 2) return `its patches are not of ${patch} x ${patch} pixels`;
  const made = packingOf(configuration, size, grids.length).tokens.length;
  return made === tokens ? undefined : `it says ${tokens} visual tokens, and this model makes ${made} of it`;
}
