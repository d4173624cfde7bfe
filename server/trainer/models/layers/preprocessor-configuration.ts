import { z } from 'zod';
import { readFields, refuseIn, type Refuse } from './configuration-file.js';

/** Red, green and blue of `image_mean` and `image_std`. */
export const colourSchema = z.tuple([z.number(), z.number(), z.number()]);

/** @throws ConfigurationError naming the field of preprocessor_config.json */
export const refusePreprocessor: Refuse = refuseIn('preprocessor_config.json');

/**
 * A field that is null counts as left out.
 * @param config the parsed preprocessor_config.json, if there is one
 * @throws ConfigurationError naming the field
 */
export function preprocessorConfiguration<T>(schema: z.ZodType<T>, config: unknown): T {
  const file = z.record(z.string(), z.unknown()).safeParse(config ?? {});
  if (!file.success) return refusePreprocessor('the whole file', 'is not an object');
  const given = Object.fromEntries(Object.entries(file.data).filter(([, value]) => value !== null));
  return readFields(schema, given, refusePreprocessor);
}
