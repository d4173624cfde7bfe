import { Rng } from '@plumbline/shared/rng';
import type { HostTensor } from '../../safetensors.js';
import type { ParameterShape } from '../blueprint.js';
import { startingValues, type Start } from '../starting-values.js';
import { visualTokens, type BuiltInConfig } from './configuration.js';

/** All parameters in a fixed order, in PyTorch's layout, with the values that pretraining starts from. */
export function builtInParameters(config: BuiltInConfig): (ParameterShape & { start: Start })[] {
  const { hiddenSize: width, visionIntermediateSize, intermediateSize } = config;
  const parameters: (ParameterShape & { start: Start })[] = [];
  const linear = (path: string, outputs: number, inputs: number, scale = 1): void => {
    parameters.push({ name: `${path}.weight`, shape: [outputs, inputs], start: { normal: scale / Math.sqrt(inputs) } });
  };
  const bias = (path: string, size: number): void => {
    parameters.push({ name: `${path}.bias`, shape: [size], start: 'zeros' });
  };
  const norm = (path: string): void => {
    parameters.push({ name: `${path}.weight`, shape: [width], start: 'ones' });
  };
  // Residual branches start smaller with depth, so that the sum over layers keeps its scale (GPT-2's rule).
  const visionResidual = 1 / Math.sqrt(2 * config.visionLayers);
  const decoderResidual = 1 / Math.sqrt(2 * config.decoderLayers);

  linear('vision_tower.embeddings.patch_embedding', width, 3 * config.patchSize ** 2);
  bias('vision_tower.embeddings.patch_embedding', width);
  parameters.push({
    name: 'vision_tower.embeddings.position_embedding.weight',
    shape: [visualTokens(config), width],
    // As large as the patch embeddings: with small initial values the model ignores position for thousands of steps.
    start: { normal: 0.5 },
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
  parameters.push({
    name: 'language_model.embed_tokens.weight',
    shape: [config.vocabSize, width],
    start: { normal: 0.5 },
  });
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
  return parameters;
}

/** Draws the weights that pretraining starts from. */
export function freshWeights(config: BuiltInConfig, seed: number): Map<string, HostTensor> {
  const rng = new Rng(seed);
  return new Map(
    builtInParameters(config).map(({ name, shape, start }) => [
      name,
      { shape: [...shape], data: startingValues({ shape, start }, rng) },
    ]),
  );
}
