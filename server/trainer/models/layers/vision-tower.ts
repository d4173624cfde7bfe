import * as tf from '@tensorflow/tfjs-core';
import type { Parameters } from '../../runtime/parameter.js';
import type { BuildOptions, ParameterShape } from '../blueprint.js';
import { gelu, geluTanh, quickGelu } from './activations.js';
import { attention } from './attention.js';
import { gatherRows } from './gather-rows.js';
import { layerNorm } from './norms.js';
import type { visionActivations, VisionConfiguration } from './vision-configuration.js';

const activations = {
  quick_gelu: quickGelu,
  gelu,
  gelu_pytorch_tanh: geluTanh,
} as const satisfies Record<(typeof visionActivations)[number], (x: tf.Tensor2D) => tf.Tensor2D>;

/** CLIP has a class token before the patches and a norm before the layers; SigLIP has a bias on the patches. */
const hasClassToken = ({ kind }: VisionConfiguration): boolean => kind === 'clip_vision_model';

/** Features of a picture: its patches, and CLIP's class token. */
export const towerPositions = (configuration: VisionConfiguration): number =>
  configuration.side ** 2 + (hasClassToken(configuration) ? 1 : 0);

/**
 * The tower's parameters, in the order of transformers.
 * @param prefix before their names, such as `model.vision_tower.`
 */
export function towerParameters(configuration: VisionConfiguration, prefix: string): ParameterShape[] {
  const { width, feedForward, layers, patch } = configuration;
  const parameters: ParameterShape[] = [];
  const add = (name: string, ...shape: number[]): void => void parameters.push({ name: `${prefix}${name}`, shape });
  const linear = (path: string, out: number, from: number): void => {
    add(`${path}.weight`, out, from);
    add(`${path}.bias`, out);
  };
  const norm = (path: string): void => {
    add(`${path}.weight`, width);
    add(`${path}.bias`, width);
  };
  const clip = hasClassToken(configuration);
  if (clip) add('embeddings.class_embedding', width);
  add('embeddings.patch_embedding.weight', width, 3, patch, patch);
  if (!clip) add('embeddings.patch_embedding.bias', width);
  add('embeddings.position_embedding.weight', towerPositions(configuration), width);
  if (clip) norm('pre_layrnorm');
  for (let layer = 0; layer < layers; layer++) {
    const path = `encoder.layers.${layer}`;
    for (const name of ['k_proj', 'v_proj', 'q_proj', 'out_proj']) linear(`${path}.self_attn.${name}`, width, width);
    norm(`${path}.layer_norm1`);
    linear(`${path}.mlp.fc1`, feedForward, width);
    linear(`${path}.mlp.fc2`, width, feedForward);
    norm(`${path}.layer_norm2`);
  }
  norm('post_layernorm');
  return parameters;
}

/**
 * Numbers of layers behind which the features are taken.
 * @param select indices into `hidden_states` of transformers, which begins with the embeddings; negative from the end
 * @returns undefined when one of them does not exist
 */
export function featureLayers({ layers }: VisionConfiguration, select: readonly number[]): number[] | undefined {
  const behind = select.map((index) => (index < 0 ? layers + 1 + index : index));
  return behind.every((layer) => layer >= 0 && layer <= layers) ? behind : undefined;
}

/**
 * CLIP's or SigLIP's vision transformer. Features come before its last norm; layers behind the last one whose features
 * are taken are not computed. Its methods run within tf.tidy.
 */
export class VisionTower {
  readonly #prefix: string;
  readonly #recompute: boolean;

  constructor(
    private readonly configuration: VisionConfiguration,
    private readonly parameters: Parameters,
    { prefix, recompute = false }: BuildOptions & { prefix: string },
  ) {
    this.#prefix = prefix;
    this.#recompute = recompute;
  }

  /**
   * @param patches [pictures * side * side, 3 * patch * patch]
   * @param behind of `featureLayers`; features of several layers are joined
   * @param places [patches of a picture] int32, for SigLIP with pictures of another size or order of patches: the row of
   *   the position embedding for each of its patches
   * @returns [pictures * positions, width * number of layers], CLIP's class token first
   */
  features(patches: tf.Tensor2D, behind: readonly number[], places?: tf.Tensor1D): tf.Tensor2D {
    return this.parameters.part([this.#prefix], patches, (patches) =>
      this.#features(patches as tf.Tensor2D, behind, places),
    );
  }

  #features(patches: tf.Tensor2D, behind: readonly number[], places: tf.Tensor1D | undefined): tf.Tensor2D {
    const positions = places ? places.shape[0] : towerPositions(this.configuration);
    const pictures = patches.shape[0] / (places ? positions : this.configuration.side ** 2);
    const states = new Map<number, tf.Tensor2D>();
    let x = this.#embed(patches, pictures, places);
    for (let layer = 0; ; layer++) {
      if (behind.includes(layer)) states.set(layer, x);
      if (layer === Math.max(...behind)) break;
      const path = `${this.#prefix}encoder.layers.${layer}`;
      const block = (x: tf.Tensor2D): tf.Tensor2D =>
        tf.tidy(() => this.#feedForward(this.#attend(x, pictures, positions, path), path));
      x = this.#recompute ? this.parameters.recomputed(`${path}.`, x, [], block) : block(x);
    }
    return behind.length === 1
      ? states.get(behind[0]!)!
      : tf.concat(
          behind.map((layer) => states.get(layer)!),
          1,
        );
  }

  /** The last norm, which LLaVA's features do not pass. @param x [N, width] */
  normalised(x: tf.Tensor2D): tf.Tensor2D {
    return this.#norm(x, `${this.#prefix}post_layernorm`);
  }

  #embed(patches: tf.Tensor2D, pictures: number, places: tf.Tensor1D | undefined): tf.Tensor2D {
    const { width } = this.configuration;
    const path = `${this.#prefix}embeddings`;
    const kernel = tf.reshape(this.parameters.get(`${path}.patch_embedding.weight`), [width, -1]) as tf.Tensor2D;
    let x: tf.Tensor = tf.matMul(patches, kernel, false, true);
    if (this.parameters.has(`${path}.patch_embedding.bias`))
      x = tf.add(x, this.parameters.get(`${path}.patch_embedding.bias`));
    x = tf.reshape(x, [pictures, -1, width]);
    const clip = hasClassToken(this.configuration);
    if (clip) {
      const token = this.parameters.get(`${path}.class_embedding`);
      x = tf.concat([tf.add(tf.zeros([pictures, 1, width]), token), x], 1);
    }
    const table = this.parameters.get<tf.Rank.R2>(`${path}.position_embedding.weight`);
    x = tf.add(x, places ? gatherRows(table, places) : table);
    const rows = tf.reshape(x, [-1, width]) as tf.Tensor2D;
    return clip ? this.#norm(rows, `${this.#prefix}pre_layrnorm`) : rows;
  }

  /** x plus its self-attention within each picture. */
  #attend(x: tf.Tensor2D, pictures: number, positions: number, path: string): tf.Tensor2D {
    const { heads, width } = this.configuration;
    const normal = this.#norm(x, `${path}.layer_norm1`);
    const project = (name: string): tf.Tensor4D => {
      const projected = this.parameters.linear(normal, `${path}.self_attn.${name}`);
      return tf.transpose(tf.reshape(projected, [pictures, positions, heads, width / heads]), [0, 2, 1, 3]);
    };
    const mixed = attention(project('q_proj'), project('k_proj'), project('v_proj'));
    const rows = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, width]) as tf.Tensor2D;
    return tf.add(x, this.parameters.linear(rows, `${path}.self_attn.out_proj`));
  }

  /** x plus its MLP. */
  #feedForward(x: tf.Tensor2D, path: string): tf.Tensor2D {
    const normal = this.#norm(x, `${path}.layer_norm2`);
    const bent = activations[this.configuration.activation](this.parameters.linear(normal, `${path}.mlp.fc1`));
    return tf.add(x, this.parameters.linear(bent, `${path}.mlp.fc2`));
  }

  #norm(x: tf.Tensor2D, path: string): tf.Tensor2D {
    const [weight, bias] = [`${path}.weight`, `${path}.bias`].map((name) => this.parameters.get<tf.Rank.R1>(name));
    return layerNorm(x, weight!, bias!, this.configuration.layerNormEps);
  }
}
