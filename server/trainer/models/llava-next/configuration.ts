import { pictureTextConfiguration, type PictureTextConfiguration } from '../layers/picture-text-configuration.js';

/** What transformers' LlavaNextConfig has where config.json says nothing. */
const defaults = {
  vision_config: {
    model_type: 'clip_vision_model',
    hidden_size: 1024,
    intermediate_size: 4096,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    image_size: 336,
    patch_size: 14,
  },
  text_config: { model_type: 'llama' },
  image_token_index: 32_000,
  vision_feature_layer: -2,
  vision_feature_select_strategy: 'default',
  image_grid_pinpoints: [
    [336, 672],
    [672, 336],
    [672, 672],
    [1008, 336],
    [336, 1008],
  ],
} as const;

/** @throws ConfigurationError naming the field */
export const llavaNextConfiguration = (config: unknown): PictureTextConfiguration =>
  pictureTextConfiguration(config, defaults);
