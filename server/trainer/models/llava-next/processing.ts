import type { PictureTextConfiguration } from '../layers/picture-text-configuration.js';
import { pictureProcessor, preprocessing, tiledViews } from '../layers/picture-preprocessing.js';
import type { PictureProcessor } from '../picture-processor.js';

/** Each picture whole and in tiles. @param config preprocessor_config.json, if any @throws ConfigurationError */
export function llavaNextPictures(configuration: PictureTextConfiguration, config: unknown): PictureProcessor {
  const how = preprocessing(config, configuration);
  return pictureProcessor(configuration, how, tiledViews(configuration, how));
}
