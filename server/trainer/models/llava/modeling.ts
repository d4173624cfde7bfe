import type { Family } from '../blueprint.js';
import { pictureTextBlueprint } from '../layers/picture-text-model.js';
import { llavaConfiguration } from './configuration.js';
import { llavaPictures } from './processing.js';

/** LLaVA 1.5: CLIP's features, projected, in the places of the placeholders. */
export const llava: Family = (config) => pictureTextBlueprint('llava', llavaConfiguration(config), llavaPictures);
