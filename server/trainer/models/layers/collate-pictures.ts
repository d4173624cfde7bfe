import { bucket } from '../collate.js';
import { type Example, type HostInputs, type PreparedPicture } from '../model.js';
import { newline, packTiles, packWhole, type Packing, type Size } from './anyres.js';
import type { PictureTextConfiguration } from './picture-text-configuration.js';
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

/** A picture of a batch, with the example that it belongs to. */
interface PackedPicture {
  picture: PreparedPicture;
  packing: Packing;
  row: number;
}

/**
 * What the pictures of a batch add to its inputs; nothing where there is none:
 * - `patches` [tiles * side * side, 3 * patch * patch], padded with zeros up to a bucket of tiles
 * - `place` [B * T] int32: a row of the text embeddings, the features, the newline and the blends, in this order
 * - `blend_rows` [Q * 4] int32, rows of the features, and `blend_weights` [Q, 4]: visual tokens between features
 * @param length T
 * @throws Error naming the example whose pictures do not fill its placeholders
 */
export function collatePictures(
  configuration: PictureTextConfiguration,
  examples: readonly Example[],
  length: number,
): HostInputs {
  const packed = examples.flatMap((example, row) => packedPictures(configuration, example, row));
  if (packed.length === 0) return {};
  const { side, patch } = configuration.vision;
  const used = packed.reduce((sum, { picture }) => sum + picture.grids.length, 0);
  // Few numbers of tiles, so that most batches run the same functions.
  const tiles = bucket(used, 1);
  const blends = packed.reduce((sum, { packing }) => sum + packing.blended.weights.length / 4, 0);
  const first = {
    feature: examples.length * length,
    newline: examples.length * length + tiles * featuresOfTile(configuration),
    blend: examples.length * length + tiles * featuresOfTile(configuration) + 1,
  };
  const patches = new Float32Array(tiles * side ** 2 * 3 * patch ** 2);
  const place = Int32Array.from({ length: examples.length * length }, (_, at) => at);
  const blendRows = new Int32Array(bucket(blends) * 4);
  const blendWeights = new Float32Array(blendRows.length);
  const free = examples.map(({ ids }, row) => placeholders(ids, configuration, row * length));
  let [tile, blend] = [0, 0];
  for (const { picture, packing, row } of packed) {
    const feature = tile * featuresOfTile(configuration);
    const rowOf = (token: number): number => {
      if (token === newline) return first.newline;
      return token >= 0 ? first.feature + feature + token : first.blend + blend - 2 - token;
    };
    free[row]!.splice(0, packing.tokens.length).forEach((at, i) => (place[at] = rowOf(packing.tokens[i]!)));
    patches.set(picture.patches, tile * side ** 2 * 3 * patch ** 2);
    packing.blended.rows.forEach((row, i) => (blendRows[blend * 4 + i] = feature + row));
    blendWeights.set(packing.blended.weights, blend * 4);
    tile += picture.grids.length;
    blend += packing.blended.weights.length / 4;
  }
  return {
    patches: { shape: [tiles * side ** 2, 3 * patch ** 2], data: patches },
    place: { shape: [place.length], data: place },
    ...(blends > 0 && {
      blend_rows: { shape: [blendRows.length], data: blendRows },
      blend_weights: { shape: [blendRows.length / 4, 4], data: blendWeights },
    }),
  };
}

/** The positions of the placeholders in an example. @param start the position of its first token */
const placeholders = (ids: Int32Array, { pictureToken }: PictureTextConfiguration, start = 0): number[] =>
  Array.from(ids.entries()).flatMap(([at, id]) => (id === pictureToken ? [start + at] : []));

/** How the pictures of an example become tokens. @throws Error when they do not fill its placeholders */
function packedPictures(
  configuration: PictureTextConfiguration,
  { ids, pictures }: Example,
  row: number,
): PackedPicture[] {
  const token = `(token ${configuration.pictureToken})`;
  const refuse = (fault: string): never => {
    throw new Error(`Example ${row + 1} of the batch ${fault}.`);
  };
  const packed = pictures.map((picture, index) => {
    const packing = packingOf(configuration, picture.size, picture.grids.length);
    const fault = faultOf(picture, packing, configuration);
    if (fault) refuse(`has a picture, number ${index + 1}, that was prepared for another model: ${fault}`);
    return { picture, packing, row };
  });
  const places = placeholders(ids, configuration).length;
  const made = packed.reduce((sum, { packing }) => sum + packing.tokens.length, 0);
  if (pictures.length > places) refuse(`has ${pictures.length} pictures and ${places} placeholders ${token} for them`);
  if (places !== made)
    refuse(
      `has ${places} placeholders ${token} for ${made} visual tokens of ${pictures.length} pictures. ` +
        'Write one placeholder for each visual token, and none where there is no picture',
    );
  return packed;
}

function faultOf(
  { patches, rows, grids, tokens }: PreparedPicture,
  packing: Packing,
  { vision: { side, patch } }: PictureTextConfiguration,
): string | undefined {
  if (grids.some(([height, width]) => height !== side || width !== side))
    return `its tiles are not of ${side} x ${side} patches`;
  if (rows !== grids.length * side ** 2) return `it has ${rows} patches in ${grids.length} tiles`;
  if (patches.length !== rows * 3 * patch ** 2) return `its patches are not of ${patch} x ${patch} pixels`;
  const made = packing.tokens.length;
  return made === tokens ? undefined : `it says ${tokens} visual tokens, and this model makes ${made} of it`;
}
