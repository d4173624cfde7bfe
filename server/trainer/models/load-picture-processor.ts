import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJson } from '../text/tokenizer.js';
import type { Blueprint } from './blueprint.js';
import type { PictureProcessor } from './picture-processor.js';

/**
 * The picture processor of a model's folder in the Hugging Face layout, by processor_config.json as transformers 5
 * writes it, else by preprocessor_config.json; without either, as the family's pictures usually are.
 * @returns undefined for a family that sees no pictures
 * @throws ConfigurationError naming the field that does not fit the model
 */
export async function loadPictureProcessor(
  folder: string,
  blueprint: Blueprint,
): Promise<PictureProcessor | undefined> {
  if (!blueprint.pictures) return undefined;
  const [processor, preprocessor] = ['processor_config.json', 'preprocessor_config.json'].map((name) =>
    join(folder, name),
  ) as [string, string];
  const whole = existsSync(processor) ? await readJson(processor) : undefined;
  if (typeof whole === 'object' && whole !== null && 'image_processor' in whole)
    return blueprint.pictures(whole.image_processor);
  return blueprint.pictures(existsSync(preprocessor) ? await readJson(preprocessor) : undefined);
}
