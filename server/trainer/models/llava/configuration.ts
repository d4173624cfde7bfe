import {
  clipLlamaDefaults,
  pictureTextConfiguration,
  type PictureTextConfiguration,
} from '../layers/picture-text-configuration.js';

/** Where config.json says nothing, the defaults of transformers' LlavaConfig hold. @throws ConfigurationError naming the field */
export const llavaConfiguration = (config: unknown): PictureTextConfiguration =>
  pictureTextConfiguration(config, clipLlamaDefaults);
