import * as tf from '@tensorflow/tfjs-core';
import type { Parameters } from '../../runtime/parameter.js';
import type { BuildOptions, ParameterShape } from '../blueprint.js';
import { bucket } from '../collate.js';
import { gelu, siluGate } from '../layers/activations.js';
import { attention } from '../layers/attention.js';
import { gatherRows } from '../layers/gather-rows.js';
import { rmsNorm } from '../layers/norms.js';
import { inverseFrequencies, rotary, rotaryAngles, rotaryTables, type RotaryTables } from '../layers/rotary.js';
import type { CollatedPictures, PictureEncoder } from '../layers/vision-language-model.js';
import type { HostInputs, Inputs, PreparedPicture } from '../model.js';
import type { VisionSizes } from './configuration.js';
import { patchPositions, windowsOf } from './grid.js';

const prefix = 'model.visual.';
const rmsNormEps = 1e-6;
/** Hides a key from a query. */
const hidden = -1e9;

/** The vision transformer's parameters, in the order of transformers. */
export function visionParameters({
  layers,
  width,
  feedForward,
  out,
  patch,
  frames,
  merge,
}: VisionSizes): ParameterShape[] {
  const parameters: ParameterShape[] = [];
  const add = (name: string, ...shape: number[]): void => void parameters.push({ name: `${prefix}${name}`, shape });
  const linear = (path: string, out: number, from: number): void => {
    add(`${path}.weight`, out, from);
    add(`${path}.bias`, out);
  };
  add('patch_embed.proj.weight', width, 3, frames, patch, patch);
  for (let layer = 0; layer < layers; layer++) {
    const path = `blocks.${layer}`;
    add(`${path}.norm1.weight`, width);
    add(`${path}.norm2.weight`, width);
    linear(`${path}.attn.qkv`, 3 * width, width);
    linear(`${path}.attn.proj`, width, width);
    linear(`${path}.mlp.gate_proj`, feedForward, width);
    linear(`${path}.mlp.up_proj`, feedForward, width);
    linear(`${path}.mlp.down_proj`, width, feedForward);
  }
  const cell = merge ** 2 * width;
  add('merger.ln_q.weight', width);
  linear('merger.mlp.0', cell, cell);
  linear('merger.mlp.2', out, cell);
  return parameters;
}

/** Patches in groups that attend among themselves: windows, or whole pictures. All groups have as many slots. */
interface Groups {
  /** [groups * slots] int32: the patch in each slot. */
  patches: tf.Tensor1D;
  /** [groups, 1, 1, slots]: hides empty slots. */
  mask: tf.Tensor4D;
  /** [patches] int32: the slot of each patch. */
  slots: tf.Tensor1D;
  angles: RotaryTables;
}

/** Groups of patches that lie one after another. @param lengths patches of each group */
function collateGroups(
  name: string,
  lengths: readonly number[],
  { slots, patches }: { slots: number; patches: number },
): HostInputs {
  const groups = bucket(lengths.length, 1);
  const inSlots = new Int32Array(groups * slots);
  const mask = new Float32Array(groups * slots).fill(hidden);
  const slotOf = new Int32Array(patches);
  let patch = 0;
  lengths.forEach((length, group) => {
    for (let slot = group * slots; slot < group * slots + length; slot++, patch++) {
      inSlots[slot] = patch;
      mask[slot] = 0;
      slotOf[patch] = slot;
    }
  });
  return {
    [`${name}_patches`]: { shape: [inSlots.length], data: inSlots },
    [`${name}_mask`]: { shape: [groups, 1, 1, slots], data: mask },
    [`${name}_slots`]: { shape: [patches], data: slotOf },
  };
}

/**
 * Qwen2.5-VL's vision transformer and merger. The host orders the patches of all pictures by window and works out which
 * of them attend to each other; numbers of patches, windows and slots are rounded up to buckets.
 */
export class VisionTransformer implements PictureEncoder {
  readonly #frequencies: Float32Array;
  readonly #recompute: boolean;

  constructor(
    private readonly sizes: VisionSizes,
    private readonly parameters: Parameters,
    { recompute = false }: BuildOptions = {},
  ) {
    const one = inverseFrequencies(sizes.width / sizes.heads / 2, { theta: sizes.theta });
    this.#frequencies = Float32Array.of(...one, ...one);
    this.#recompute = recompute;
  }

  faultOf({ grids, rows, patches, tokens }: PreparedPicture): string | undefined {
    const { merge, patch, frames } = this.sizes;
    const [grid] = grids;
    if (!grid || grids.length !== 1) return `it has ${grids.length} grids`;
    const [height, width] = grid;
    if (height % merge !== 0 || width % merge !== 0) return `its sides are not multiples of ${merge} patches`;
    if (rows !== height * width) return `it has ${rows} patches in a grid of ${height} x ${width}`;
    if (patches.length !== rows * 3 * frames * patch ** 2) return `its patches are not of ${patch} x ${patch} pixels`;
    const made = rows / merge ** 2;
    return tokens === made ? undefined : `it says ${tokens} visual tokens, and this model makes ${made} of it`;
  }

  /**
   * - `patches` [R, 3 * frames * patch * patch]: by picture, window and cell
   * - `vision_cos`, `vision_sin` [R, head size]
   * - `window_*` and `picture_*`: see `Groups`
   */
  collate(pictures: readonly PreparedPicture[]): CollatedPictures {
    const { merge, patch, frames, window, width, heads } = this.sizes;
    const perCell = merge ** 2;
    const cells = pictures.reduce((sum, { tokens }) => sum + tokens, 0);
    const padded = bucket(cells) * perCell;
    const values = 3 * frames * patch ** 2;
    const patches = new Float32Array(padded * values);
    const [rowOf, columnOf] = [new Int32Array(padded), new Int32Array(padded)];
    const windowLengths: number[] = [];
    const rows: Int32Array[] = [];
    let first = 0;
    for (const picture of pictures) {
      const [height, width] = picture.grids[0]!;
      const { order, lengths } = windowsOf([height / merge, width / merge], window);
      const at = patchPositions([height, width], merge);
      const featureOf = new Int32Array(order.length);
      order.forEach((cell, place) => {
        const [from, to] = [cell * perCell, (first + place) * perCell];
        patches.set(picture.patches.subarray(from * values, (from + perCell) * values), to * values);
        rowOf.set(at.rows.subarray(from, from + perCell), to);
        columnOf.set(at.columns.subarray(from, from + perCell), to);
        featureOf[cell] = first + place;
      });
      rows.push(featureOf);
      windowLengths.push(...lengths.map((cells) => cells * perCell));
      first += order.length;
    }
    const half = this.#frequencies.length / 2;
    const { cos, sin } = rotaryAngles([rowOf, columnOf], this.#frequencies, [half, half]);
    const shape = [padded, width / heads];
    const largest = Math.max(...pictures.map(({ tokens }) => tokens));
    return {
      rows,
      inputs: {
        patches: { shape: [padded, values], data: patches },
        vision_cos: { shape, data: cos },
        vision_sin: { shape, data: sin },
        ...collateGroups('window', windowLengths, { slots: window ** 2 * perCell, patches: padded }),
        ...collateGroups('picture', pictures.map(({ rows }) => rows), { slots: bucket(largest) * perCell, patches: padded }), // prettier-ignore
      },
    };
  }

  /** @returns [cells, out], cells window by window */
  features(inputs: Inputs): tf.Tensor2D {
    const { width, merge } = this.sizes;
    const [windows, pictures] = [groupsOf(inputs, 'window'), groupsOf(inputs, 'picture')];
    const tower = [`${prefix}patch_embed.`, `${prefix}blocks.`];
    const x = this.parameters.part(tower, inputs['patches']!, (patches) =>
      this.#blocks(patches as tf.Tensor2D, windows, pictures),
    );
    const cells = tf.reshape(this.#norm(x, `${prefix}merger.ln_q`), [-1, merge ** 2 * width]) as tf.Tensor2D;
    return this.parameters.linear(
      gelu(this.parameters.linear(cells, `${prefix}merger.mlp.0`)),
      `${prefix}merger.mlp.2`,
    );
  }

  /** @returns [patches, width] */
  #blocks(patches: tf.Tensor2D, windows: Groups, pictures: Groups): tf.Tensor2D {
    const { layers, width, fullBlocks } = this.sizes;
    const kernel = tf.reshape(this.parameters.get(`${prefix}patch_embed.proj.weight`), [width, -1]);
    let x = tf.matMul(patches, kernel, false, true) as tf.Tensor2D;
    for (let layer = 0; layer < layers; layer++) {
      const { patches, mask, slots, angles } = fullBlocks.includes(layer) ? pictures : windows;
      const path = `${prefix}blocks.${layer}`;
      const block = (x: tf.Tensor2D, [patches, mask, slots, cos, turn]: tf.Tensor[]): tf.Tensor2D => {
        const groups = { patches, mask, slots, angles: { cos, turn } } as Groups;
        return tf.tidy(() => this.#feedForward(this.#attend(x, path, groups), path));
      };
      const constants = [patches, mask, slots, angles.cos, angles.turn];
      x = this.#recompute ? this.parameters.recomputed(`${path}.`, x, constants, block) : block(x, constants);
    }
    return x;
  }

  /** x plus its self-attention within each group. */
  #attend(x: tf.Tensor2D, path: string, { patches, mask, slots, angles }: Groups): tf.Tensor2D {
    const { heads, width } = this.sizes;
    const [groups, , , size] = mask.shape;
    const all = this.parameters.linear(this.#norm(x, `${path}.norm1`), `${path}.attn.qkv`);
    const [q, k, v] = tf.split(gatherRows(all, patches), 3, 1).map((rows) => {
      return tf.transpose(tf.reshape(rows, [groups, size, heads, width / heads]), [0, 2, 1, 3]);
    }) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
    const mixed = attention(rotary(q, angles), rotary(k, angles), v, { mask });
    const rows = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, width]) as tf.Tensor2D;
    return tf.add(x, this.parameters.linear(gatherRows(rows, slots), `${path}.attn.proj`));
  }

  /** x plus its MLP. */
  #feedForward(x: tf.Tensor2D, path: string): tf.Tensor2D {
    const normal = this.#norm(x, `${path}.norm2`);
    const gate = this.parameters.linear(normal, `${path}.mlp.gate_proj`);
    const up = this.parameters.linear(normal, `${path}.mlp.up_proj`);
    return tf.add(x, this.parameters.linear(siluGate(gate, up), `${path}.mlp.down_proj`));
  }

  #norm(x: tf.Tensor2D, path: string): tf.Tensor2D {
    return rmsNorm(x, this.parameters.get<tf.Rank.R1>(`${path}.weight`), rmsNormEps);
  }
}

function groupsOf(inputs: Inputs, name: string): Groups {
  const [patches, mask, slots] = ['patches', 'mask', 'slots'].map((part) => inputs[`${name}_${part}`]!) as [tf.Tensor1D, tf.Tensor4D, tf.Tensor1D]; // prettier-ignore
  const [groups, , , size] = mask.shape;
  const [cos, sin] = ['cos', 'sin'].map((part) => {
    return tf.reshape(gatherRows(inputs[`vision_${part}`] as tf.Tensor2D, patches), [groups, size, -1]) as tf.Tensor3D;
  });
  return { patches, mask, slots, angles: rotaryTables(cos!, sin!) };
}
