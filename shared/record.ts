import { z } from 'zod';

/** So much of a name is told of one that is too long. */
const shownLength = 80;
/** So many faults of one record are told: there may be millions. */
const toldFaults = 3;

/** A record without a prototype: `constructor` and `__proto__` are names like others in it. */
export function recordOf<T>(entries: Iterable<readonly [string, T]> = []): Record<string, T> {
  const record = Object.create(null) as Record<string, T>;
  for (const [name, value] of entries) record[name] = value;
  return record;
}

/** What a record has under a name; nothing that every object has. */
export const entryOf = <T>(record: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;

/**
 * A record of at most so many entries with names of at most so many characters, any text among them: it is read into a
 * record without a prototype. Number and length are looked at before the entries are.
 * @param what the entries are, in the plural, for the error
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
  // A transform says nothing of what comes out of it.
  schema._zod.toJSONSchema = () => ({
    type: 'object',
    propertyNames: z.toJSONSchema(key),
    additionalProperties: z.toJSONSchema(value),
    maxProperties: limits.entries,
  });
  return schema;
}
