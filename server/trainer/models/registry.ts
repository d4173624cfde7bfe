import { z } from 'zod';
import { ConfigurationError, type Blueprint, type Family } from './blueprint.js';
import { llama } from './llama/modeling.js';
import { llavaNext } from './llava-next/modeling.js';
import { llavaOnevision } from './llava-onevision/modeling.js';
import { llava } from './llava/modeling.js';
import { qwen25Vl } from './qwen2-5-vl/modeling.js';
import { qwen2 } from './qwen2/modeling.js';
import { idefics3, smolVlm } from './smolvlm/modeling.js';

/** By `model_type`. */
const families: Readonly<Record<string, Family>> = {
  llama,
  qwen2,
  llava,
  llava_next: llavaNext,
  llava_onevision: llavaOnevision,
  qwen2_5_vl: qwen25Vl,
  smolvlm: smolVlm,
  idefics3,
};

export const familyNames = Object.keys(families);

/**
 * The model that a config.json describes.
 * @param config the parsed config.json
 * @throws ConfigurationError for an unknown family, or naming the field that is wrong
 */
export function readBlueprint(config: unknown): Blueprint {
  const named = z.object({ model_type: z.string() }).safeParse(config);
  if (!named.success)
    throw new ConfigurationError('config.json has no model_type: is this the folder of a model for transformers?');
  const { model_type: name } = named.data;
  if (!Object.hasOwn(families, name))
    throw new ConfigurationError(`config.json: model_type is ${name}; this trainer knows ${familyNames.join(', ')}.`);
  return families[name]!(config);
}
