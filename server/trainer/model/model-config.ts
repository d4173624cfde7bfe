import { z } from 'zod';
import type { Rng } from '@plumbline/shared/rng';

/** Sizes of the model, as in a Hugging Face `config.json`; they determine everything else. */
export const ModelConfig = z.object({
  imageSize: z.number().int().positive(),
  patchSize: z.number().int().positive(),
  /** Width of the vision tower, the projector and the decoder. */
  hiddenSize: z.number().int().positive(),
  visionLayers: z.number().int().positive(),
  visionIntermediateSize: z.number().int().positive(),
  decoderLayers: z.number().int().positive(),
  intermediateSize: z.number().int().positive(),
  heads: z.number().int().positive(),
  vocabSize: z.number().int().positive(),
  maxTextTokens: z.number().int().positive(),
  ropeTheta: z.number().positive(),
  rmsNormEps: z.number().positive(),
  /** Low-rank adapters on the decoder's projections; a plain model has none. */
  lora: z.object({ rank: z.number().int().positive(), alpha: z.number().positive() }).optional(),
  /** Additional MLPs in each decoder layer, with a router that weighs all; a plain model has none. */
  experts: z.number().int().positive().optional(),
});
export type ModelConfig = z.infer<typeof ModelConfig>;

/** Image tokens of one picture. */
export const imageTokens = (config: ModelConfig): number => (config.imageSize / config.patchSize) ** 2;

/** Values of one parameter on the host. */
export interface HostTensor {
  shape: number[];
  data: Float32Array;
}

export interface ParameterShape {
  name: string;
  shape: number[];
  /**
   * Initial values: ones (norms), zeros (biases), normal with this standard deviation, uniform within +-`uniform`, or a
   * copy of an earlier parameter.
   */
  start: 'ones' | 'zeros' | number | { uniform: number } | { copyOf: string };
  /** Never trained, in a model that trains adapters or experts instead. */
  fixed: boolean;
}

/** All parameters in a fixed order, in PyTorch's layout: a linear weight is [out, in]. */
export function parameterShapes(config: ModelConfig): ParameterShape[] {
  const { hiddenSize: width, visionIntermediateSize, intermediateSize } = config;
  const shapes: ParameterShape[] = [];
  const fixed = config.lora !== undefined || config.experts !== undefined;
  const linear = (path: string, outputs: number, inputs: number, scale = 1): void => {
    shapes.push({ name: `${path}.weight`, shape: [outputs, inputs], start: scale / Math.sqrt(inputs), fixed });
  };
  /**
   * A linear layer with its adapters, if any: names and initial values as in PEFT (A as nn.Linear's weight,
   * kaiming_uniform; B zero).
   */
  const adapted = (path: string, outputs: number, inputs: number, scale = 1): void => {
    linear(path, outputs, inputs, scale);
    if (!config.lora) return;
    const { rank } = config.lora;
    const start = { uniform: 1 / Math.sqrt(inputs) };
    shapes.push({ name: `${path}.lora_A.weight`, shape: [rank, inputs], start, fixed: false });
    shapes.push({ name: `${path}.lora_B.weight`, shape: [outputs, rank], start: 'zeros', fixed: false });
  };
  const bias = (path: string, size: number): void => {
    shapes.push({ name: `${path}.bias`, shape: [size], start: 'zeros', fixed });
  };
  const norm = (path: string): void => {
    shapes.push({ name: `${path}.weight`, shape: [width], start: 'ones', fixed });
  };
  /** Copies of the MLP at `path`, and the router: one row for the MLP, one for each copy. */
  const experts = (path: string): void => {
    if (config.experts === undefined) return;
    for (let expert = 0; expert < config.experts; expert++)
      for (const part of ['gate_proj', 'up_proj', 'down_proj'])
        shapes.push({
          name: `${path}.experts.${expert}.${part}.weight`,
          shape: part === 'down_proj' ? [width, intermediateSize] : [intermediateSize, width],
          start: { copyOf: `${path}.${part}.weight` },
          fixed: false,
        });
    // Not zero: equal shares would keep equal copies equal for ever. The standard deviation is that of BERT's and
    // GPT-2's weights.
    shapes.push({ name: `${path}.router.weight`, shape: [config.experts + 1, width], start: 0.02, fixed: false });
  };
  // Residual branches start smaller with depth, so that the sum over layers keeps its scale (GPT-2's rule).
  const visionResidual = 1 / Math.sqrt(2 * config.visionLayers);
  const decoderResidual = 1 / Math.sqrt(2 * config.decoderLayers);

  linear('vision_tower.embeddings.patch_embedding', width, 3 * config.patchSize ** 2);
  bias('vision_tower.embeddings.patch_embedding', width);
  shapes.push({
    name: 'vision_tower.embeddings.position_embedding.weight',
    shape: [imageTokens(config), width],
    // As large as the patch embeddings: with small initial values the model ignores position for thousands of steps.
    start: 0.5,
    fixed,
  });
  for (let layer = 0; layer < config.visionLayers; layer++) {
    const path = `vision_tower.encoder.layers.${layer}`;
    norm(`${path}.layer_norm1`);
    for (const part of ['q_proj', 'k_proj', 'v_proj']) linear(`${path}.self_attn.${part}`, width, width);
    linear(`${path}.self_attn.o_proj`, width, width, visionResidual);
    norm(`${path}.layer_norm2`);
    linear(`${path}.mlp.fc1`, visionIntermediateSize, width);
    bias(`${path}.mlp.fc1`, visionIntermediateSize);
    linear(`${path}.mlp.fc2`, width, visionIntermediateSize, visionResidual);
    bias(`${path}.mlp.fc2`, width);
  }
  norm('vision_tower.post_layernorm');
  for (const part of ['linear_1', 'linear_2']) {
    linear(`multi_modal_projector.${part}`, width, width);
    bias(`multi_modal_projector.${part}`, width);
  }
  shapes.push({ name: 'language_model.embed_tokens.weight', shape: [config.vocabSize, width], start: 0.5, fixed });
  for (let layer = 0; layer < config.decoderLayers; layer++) {
    const path = `language_model.layers.${layer}`;
    norm(`${path}.input_layernorm`);
    for (const part of ['q_proj', 'k_proj', 'v_proj']) adapted(`${path}.self_attn.${part}`, width, width);
    adapted(`${path}.self_attn.o_proj`, width, width, decoderResidual);
    norm(`${path}.post_attention_layernorm`);
    for (const part of ['gate_proj', 'up_proj']) adapted(`${path}.mlp.${part}`, intermediateSize, width);
    adapted(`${path}.mlp.down_proj`, width, intermediateSize, decoderResidual);
    experts(`${path}.mlp`);
  }
  norm('language_model.norm');
  linear('lm_head', config.vocabSize, width);
  return shapes;
}

/**
 * Adds initial values for the parameters that `given` lacks. Drawn on the host, so a seed gives the same model on every
 * backend.
 */
export function startingWeights(
  shapes: readonly ParameterShape[],
  rng: Rng,
  given: ReadonlyMap<string, HostTensor> = new Map(),
): Map<string, HostTensor> {
  const weights = new Map(given);
  for (const { name, shape, start } of shapes) {
    if (weights.has(name)) continue;
    let next = (): number => 0;
    if (start === 'ones') next = () => 1;
    else if (typeof start === 'number') next = () => rng.normal() * start;
    else if (start !== 'zeros' && 'uniform' in start) next = () => (2 * rng.uniform() - 1) * start.uniform;
    const size = shape.reduce((product, length) => product * length, 1);
    const data =
      typeof start === 'object' && 'copyOf' in start
        ? Float32Array.from(weights.get(start.copyOf)!.data)
        : Float32Array.from({ length: size }, next);
    weights.set(name, { shape, data });
  }
  return weights;
}

/** @throws Error naming a parameter that is missing, unknown or of another shape */
export function requireWeights(config: ModelConfig, weights: ReadonlyMap<string, HostTensor>): void {
  const shapes = parameterShapes(config);
  const known = new Set(shapes.map(({ name }) => name));
  const foreign = [...weights.keys()].find((name) => !known.has(name));
  if (foreign) throw new Error(`The weights hold ${foreign}, which a model of this configuration does not have.`);
  for (const { name, shape } of shapes) {
    const tensor = weights.get(name);
    if (!tensor) throw new Error(`The weights lack ${name}.`);
    if (tensor.shape.join() !== shape.join())
      throw new Error(`${name} has shape [${tensor.shape}]; this configuration needs [${shape}].`);
  }
}
