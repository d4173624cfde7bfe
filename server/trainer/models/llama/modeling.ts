import type { Family } from '../blueprint.js';
import { textBlueprint } from '../layers/text-model.js';
import { llamaConfiguration } from './configuration.js';

/** Llama 1 to 3, SmolLM2 and others of their architecture. */
export const llama: Family = (config) => textBlueprint('llama', llamaConfiguration(config));
