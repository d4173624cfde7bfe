import { z } from 'zod';
import { recordOf } from './record.js';

/** The characters of an overlong name in an error. */
const shownLength = 80;

/** The faults of one record in an error: there may be millions. */
const toldFaults = 3;

/**
 * A schema for a record with a bounded number of entries and bounded names. Any text is a valid name: the result has no
 * prototype. The bounds are checked before the entries.
 * @param what names the entries in the error, in the plural
 */
export function boundedRecord<V extends z.ZodType>(
  key: z.ZodType<string>,
  value: V,
  limits: { entries: number; nameLength: number },
  what: string,
) {
  const schema = z.unknown().transform((given, context): Record<string, z.output<V>> => {
    let faults = 0;
    const refuse = (path: PropertyKey[], message: string): never => {
      faults++;
      context.addIssue({ code: 'custom', path, message });
      return z.NEVER;
    };
    if (typeof given !== 'object' || given === null || Array.isArray(given))
      return refuse([], 'this is a record: an object of names and values');
    const entries = Object.entries(given);
    if (entries.length > limits.entries) return refuse([], `at most ${limits.entries} ${what}`);
    const record = recordOf<z.output<V>>();
    for (const [name, item] of entries) {
      if (faults >= toldFaults) break;
      if (name.length > limits.nameLength) {
        refuse([`${name.slice(0, shownLength)}…`], `a name has at most ${limits.nameLength} characters`);
        continue;
      }
      const named = key.safeParse(name);
      const parsed = value.safeParse(item);
      if (!named.success) refuse([name], named.error.issues[0]!.message);
      else if (!parsed.success)
        for (const { path, message } of parsed.error.issues.slice(0, 1)) refuse([name, ...path], message);
      else record[named.data] = parsed.data;
    }
    return faults > 0 ? z.NEVER : record;
  });
  // Zod cannot derive the schema of a transform.
  schema._zod.toJSONSchema = () => ({
    type: 'object',
    propertyNames: z.toJSONSchema(key),
    additionalProperties: z.toJSONSchema(value),
    maxProperties: limits.entries,
  });
  return schema;
}
