import {
  clipLlamaDefaults,
  pictureTextConfiguration,
  type PictureTextConfiguration,
} from '../layers/picture-text-configuration.js';

/** What transformers' LlavaNextConfig has where config.json says nothing. */
const defaults = {
  ...clipLlamaDefaults,
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
