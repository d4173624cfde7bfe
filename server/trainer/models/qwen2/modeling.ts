import type { Family } from '../blueprint.js';
import { textBlueprint } from '../layers/text-model.js';
import { qwen2Configuration } from './configuration.js';

/** Qwen 2 and 2.5: llama's architecture with biases on queries, keys and values. */
export const qwen2: Family = (config) => textBlueprint('qwen2', qwen2Configuration(config));
