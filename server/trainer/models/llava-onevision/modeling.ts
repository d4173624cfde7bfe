import type { Family } from '../blueprint.js';
import { pictureTextBlueprint } from '../layers/picture-text-model.js';
import { llavaOnevisionConfiguration } from './configuration.js';
import { llavaOnevisionPictures } from './processing.js';

/** LLaVA-OneVision: LLaVA-NeXT on SigLIP and Qwen2, where a picture of many tiles is scaled down after the projector. */
export const llavaOnevision: Family = (config) =>
  pictureTextBlueprint('llava_onevision', llavaOnevisionConfiguration(config), llavaOnevisionPictures);
