import type { Family } from '../blueprint.js';
import { decoderParameters, headParameters } from '../layers/decoder.js';
import { VisionLanguageModel } from '../layers/vision-language-model.js';
import type { Example } from '../model.js';
import { qwenVlConfiguration } from './configuration.js';
import { textPositions } from './grid.js';
import { qwenVlPictures } from './processing.js';
import { visionParameters, VisionTransformer } from './vision-transformer.js';

const family = 'qwen2_5_vl';
const prefix = 'model.language_model.';

/** Qwen2.5-VL: pictures in their own size, attention within windows, positions in time, height and width. */
export const qwen25Vl: Family = (config) => {
  const configuration = qwenVlConfiguration(config);
  const { text, vision, pictureToken } = configuration;
  const positions = ({ ids, pictures }: Example) => {
    const cells = pictures.map(({ grids: [[height, width] = [0, 0]] }) => [height / vision.merge, width / vision.merge] as const); // prettier-ignore
    return textPositions(ids, cells, pictureToken);
  };
  return {
    family,
    text,
    parameters: [...visionParameters(vision), ...decoderParameters(text, prefix), ...headParameters(text)],
    pictures: (preprocessor) => qwenVlPictures(vision, preprocessor),
    build: (parameters, options) => {
      const encoder = new VisionTransformer(vision, parameters, options);
      return new VisionLanguageModel(family, configuration, parameters, { ...options, prefix, encoder, positions });
    },
  };
};
