import { pictureTextConfiguration, type PictureTextConfiguration } from '../layers/picture-text-configuration.js';

const tile = 384;
const tiles = [1, 2, 3, 4, 5, 6];

/** What transformers' LlavaOnevisionConfig has where config.json says nothing. */
const defaults = {
  vision_config: {
    model_type: 'siglip_vision_model',
    hidden_size: 1152,
    intermediate_size: 4304,
    num_hidden_layers: 26,
    num_attention_heads: 16,
    image_size: tile,
    patch_size: 14,
    vision_use_head: false,
  },
  text_config: { model_type: 'qwen2' },
  image_token_index: 151_646,
  vision_feature_layer: -1,
  vision_feature_select_strategy: 'full',
  image_grid_pinpoints: tiles.flatMap((down) => tiles.map((across) => [down * tile, across * tile] as const)),
  vision_aspect_ratio: 'anyres_max_9',
} as const;

/** @throws ConfigurationError naming the field */
export const llavaOnevisionConfiguration = (config: unknown): PictureTextConfiguration =>
  pictureTextConfiguration(config, defaults);
