import { z } from 'zod';
import type { Rng } from '@plumbline/shared/rng';

/** Sizes of the model, as in a Hugging Face `config.json`; everything else follows from them. */
export const ModelConfig = z.object({
  imageSize: z.number().int().positive(),
  patchSize: z.number().int().positive(),
  /** Width of vision tower, projector and decoder alike. */
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
  /** MLPs in each decoder layer beside the base's, with a router that weighs them all; a plain model has none. */
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
   * How it starts: ones (norms), zeros (biases), drawn from a normal distribution with this standard deviation or
   * uniformly within +-`uniform`, or as a copy of a parameter before it.
   */
  start: 'ones' | 'zeros' | number | { uniform: number } | { copyOf: string };
  /** Kept as it is in a model with adapters or experts: those are what is trained. */
  fixed: boolean;
}

/** Every parameter in a fixed order, with PyTorch's layout: a linear weight is [out, in]. */
export function parameterShapes(config: ModelConfig): ParameterShape[] {
  const { hiddenSize: width, visionIntermediateSize, intermediateSize } = config;
  const shapes: ParameterShape[] = [];
  const fixed = config.lora !== undefined || config.experts !== undefined;
  const linear = (path: string, outputs: number, inputs: number, scale = 1): void => {
    shapes.push({ name: `${path}.weight`, shape: [outputs, inputs], start: scale / Math.sqrt(inputs), fixed });
  };
  /** With the adapters it may have: PEFT's names, and its start (A as nn.Linear's weight, kaiming_uniform; B zero). */
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
  /** Copies of the MLP at `path`, and the router: one row for it, one for each copy. */
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
    // Not zero: equal shares would keep equal copies equal for ever. The spread is that of BERT's and GPT-2's weights.
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
    // As large as what the patches bring: with a small start it takes thousands of steps until place is seen at all.
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
 * `given`, and what these parameters start with where it has none. Drawn on the host, so a seed gives the same model on
 * every backend.
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

/** @throws Error naming the parameter that is missing, too many or of another shape */
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
