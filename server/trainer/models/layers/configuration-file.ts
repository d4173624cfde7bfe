import type { z } from 'zod';
import { ConfigurationError } from '../blueprint.js';

/** Refuses a field of a configuration file. @throws ConfigurationError naming both */
export type Refuse = (field: string, fault: string) => never;

/** @param within the part of the file that fields are named from; default: the whole file */
export const refuseIn =
  (file: 'config.json' | 'preprocessor_config.json', within?: string): Refuse =>
  (field, fault) => {
    throw new ConfigurationError(`${file}: ${within === undefined ? '' : `${within}.`}${field} ${fault}.`);
  };

/** The fields of a configuration; `refuse` gets the first that is wrong. */
export function readFields<T>(schema: z.ZodType<T>, given: unknown, refuse: Refuse): T {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  return refuse(path.join('.'), `is wrong: ${message}`);
}

/** The fields of a model that has a vision part. @throws ConfigurationError naming the field, or saying that it has none */
export function readFieldsWithVision<T>(schema: z.ZodType<T>, config: unknown, refuse: Refuse): T {
  return readFields(schema, config, (field, fault) =>
    field === 'vision_config'
      ? refuse(field, 'is missing or no object: the model has no vision part')
      : refuse(field, fault),
  );
}
