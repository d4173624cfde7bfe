import type { PictureTextConfiguration } from '../layers/picture-text-configuration.js';
import { middleView, pictureProcessor, preprocessing } from '../layers/picture-preprocessing.js';
import type { PictureProcessor } from '../picture-processor.js';

/** The middle of each picture. @param config preprocessor_config.json, if any @throws ConfigurationError */
export function llavaPictures(configuration: PictureTextConfiguration, config: unknown): PictureProcessor {
  const how = preprocessing(config, configuration);
  return pictureProcessor(configuration, how, middleView(configuration, how));
}
