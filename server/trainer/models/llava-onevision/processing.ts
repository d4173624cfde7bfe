import type { PictureTextConfiguration } from '../layers/picture-text-configuration.js';
import { oneVisionViews, pictureProcessor, preprocessing } from '../layers/picture-preprocessing.js';
import type { PictureProcessor } from '../picture-processor.js';

/**
 * A picture that is alone in its conversation whole and in tiles, several pictures whole.
 * @param config preprocessor_config.json, if any
 * @throws ConfigurationError
 */
export function llavaOnevisionPictures(configuration: PictureTextConfiguration, config: unknown): PictureProcessor {
  const how = preprocessing(config, configuration);
  return pictureProcessor(configuration, how, oneVisionViews(configuration, how));
}
