import type { Family } from '../blueprint.js';
import { pictureTextBlueprint } from '../layers/picture-text-model.js';
import { llavaNextConfiguration } from './configuration.js';
import { llavaNextPictures } from './processing.js';

/** LLaVA-NeXT (1.6): LLaVA that also sees a picture's tiles, with a token at the end of each row of patches. */
export const llavaNext: Family = (config) =>
  pictureTextBlueprint('llava_next', llavaNextConfiguration(config), llavaNextPictures);
