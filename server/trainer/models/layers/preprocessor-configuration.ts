import { z } from 'zod';
import { ConfigurationError } from '../blueprint.js';

/** Red, green and blue of `image_mean` and `image_std`. */
export const colourSchema = z.tuple([z.number(), z.number(), z.number()]);

/** @throws ConfigurationError naming the field of preprocessor_config.json */
export function refusePreprocessor(field: string, fault: string): never {
  throw new ConfigurationError(`preprocessor_config.json: ${field} ${fault}.`);
}

/**
 * A field that is null counts as left out.
 * @param config the parsed preprocessor_config.json, if there is one
 * @throws ConfigurationError naming the field
 */
export function preprocessorConfiguration<T>(schema: z.ZodType<T>, config: unknown): T {
  const file = z.record(z.string(), z.unknown()).safeParse(config ?? {});
  if (!file.success) return refusePreprocessor('the whole file', 'is not an object');
  const parsed = schema.safeParse(Object.fromEntries(Object.entries(file.data).filter(([, value]) => value !== null)));
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  return refusePreprocessor(path.join('.'), `is wrong: ${message}`);
}
