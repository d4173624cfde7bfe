import { z } from 'zod';
import { ConfigurationError } from '../blueprint.js';

/** Red, green and blue of `image_mean` and `image_std`. */
export const colourSchema = z.tuple([z.number(), z.number(), z.number()]);

/** @throws ConfigurationError naming the field of preprocessor_config.json */
export function refusePreprocessor(field: string, fault: string): never {
  throw new ConfigurationError(`preprocessor_config.json: ${field} ${fault}.`);
}

/**
 * @param config the parsed preprocessor_config.json, if there is one
 * @throws ConfigurationError naming the field
 */
export function preprocessorConfiguration<T>(schema: z.ZodType<T>, config: unknown): T {
  const parsed = schema.safeParse(config ?? {});
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  return refusePreprocessor(path.join('.') || 'the whole file', `is wrong: ${message}`);
}
