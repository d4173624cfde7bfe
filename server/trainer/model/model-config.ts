import { z } from 'zod';

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
});
export type ModelConfig = z.infer<typeof ModelConfig>;

/** Image tokens of one picture. */
export const imageTokens = (config: ModelConfig): number => (config.imageSize / config.patchSize) ** 2;

export interface ParameterShape {
  name: string;
  shape: number[];
  /** How it is drawn: ones (norms), zeros (biases) or a normal distribution with this standard deviation. */
  start: 'ones' | 'zeros' | number;
}

/** Every parameter in a fixed order, with PyTorch's layout: a linear weight is [out, in]. */
export function parameterShapes(config: ModelConfig): ParameterShape[] {
  const { hiddenSize: width, visionIntermediateSize, intermediateSize } = config;
  const shapes: ParameterShape[] = [];
  const linear = (path: string, outputs: number, inputs: number, scale = 1): void => {
    shapes.push({ name: `${path}.weight`, shape: [outputs, inputs], start: scale / Math.sqrt(inputs) });
  };
  const bias = (path: string, size: number): void => {
    shapes.push({ name: `${path}.bias`, shape: [size], start: 'zeros' });
  };
  const norm = (path: string): void => {
    shapes.push({ name: `${path}.weight`, shape: [width], start: 'ones' });
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
  shapes.push({ name: 'language_model.embed_tokens.weight', shape: [config.vocabSize, width], start: 0.5 });
  for (let layer = 0; layer < config.decoderLayers; layer++) {
    const path = `language_model.layers.${layer}`;
    norm(`${path}.input_layernorm`);
    for (const part of ['q_proj', 'k_proj', 'v_proj']) linear(`${path}.self_attn.${part}`, width, width);
    linear(`${path}.self_attn.o_proj`, width, width, decoderResidual);
    norm(`${path}.post_attention_layernorm`);
    for (const part of ['gate_proj', 'up_proj']) linear(`${path}.mlp.${part}`, intermediateSize, width);
    linear(`${path}.mlp.down_proj`, width, intermediateSize, decoderResidual);
  }
  norm('language_model.norm');
  linear('lm_head', config.vocabSize, width);
  return shapes;
}
