import { z } from 'zod';
import { readFieldsWithVision, refuseIn, type Refuse } from '../layers/configuration-file.js';
import { textConfiguration } from '../layers/text-configuration.js';
import { visionActivations, type VisionConfiguration } from '../layers/vision-configuration.js';
import type { VisionLanguageConfiguration } from '../layers/vision-language-model.js';

export interface SmolVlmConfiguration extends VisionLanguageConfiguration {
  vision: VisionConfiguration;
  /** Side in patches of the block that becomes one visual token. */
  block: number;
}

const count = z.number().int().positive();
/** Defaults of transformers' SmolVLMVisionConfig and Idefics3VisionConfig. */
const VisionConfig = z.object({
  hidden_size: count.default(1152),
  intermediate_size: count.default(3072),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(16),
  num_channels: z.literal(3).default(3),
  image_size: count.default(224),
  patch_size: count.default(32),
  hidden_act: z.enum(visionActivations).default('gelu_pytorch_tanh'),
  layer_norm_eps: z.number().positive().default(1e-6),
});
const Config = z.object({
  vision_config: VisionConfig,
  text_config: z.looseObject({}),
  image_token_id: z.number().int().nonnegative().default(128_257),
  scale_factor: count.default(2),
  tie_word_embeddings: z.boolean().default(false),
});

/**
 * @param config the parsed config.json
 * @throws ConfigurationError naming the field
 */
export function smolVlmConfiguration(config: unknown): SmolVlmConfiguration {
  const refuse: Refuse = refuseIn('config.json');
  const {
    vision_config: read,
    text_config,
    image_token_id,
    scale_factor,
    tie_word_embeddings,
  } = readFieldsWithVision(Config, config, refuse);
  const { hidden_size: width, num_attention_heads: heads } = read;
  if (width % heads !== 0)
    refuse('vision_config.num_attention_heads', `is ${heads}; it must divide hidden_size, ${width}`);
  const side = Math.floor(read.image_size / read.patch_size);
  if (side === 0) refuse('vision_config.patch_size', `is ${read.patch_size}; a picture has ${read.image_size} pixels`);
  const text = textConfiguration({ model_type: 'llama', ...text_config }, { within: 'text_config' });
  if (image_token_id >= text.vocabulary)
    refuse('image_token_id', `is ${image_token_id}; the vocabulary has ${text.vocabulary} tokens`);
  return {
    text: { ...text, tied: text.tied || tie_word_embeddings },
    vision: {
      kind: 'siglip_vision_model',
      width,
      feedForward: read.intermediate_size,
      layers: read.num_hidden_layers,
      heads,
      picture: read.image_size,
      patch: read.patch_size,
      side,
      activation: read.hidden_act,
      layerNormEps: read.layer_norm_eps,
    },
    pictureToken: image_token_id,
    block: scale_factor,
  };
}
