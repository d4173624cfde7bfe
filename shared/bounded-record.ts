import { z } from 'zod';

/** So much of a name is told of one that is too long. */
const shownLength = 80;

/**
 * A record of at most so many entries with names of at most so many characters. Both are looked at before the entries
 * are: zod would make an issue of each of millions, and a pattern may overflow its stack on megabytes.
 * @param what the entries are, in the plural, for the error
 */
export function boundedRecord<K extends z.core.$ZodRecordKey, V extends z.ZodType>(
  key: K,
  value: V,
  limits: { entries: number; nameLength: number },
  what: string,
) {
  return z
    .unknown()
    .superRefine((given, context) => {
      if (typeof given !== 'object' || given === null) return;
      const names = Object.keys(given);
      if (names.length > limits.entries)
        return void context.addIssue({ code: 'custom', message: `at most ${limits.entries} ${what}` });
      // Zod passes over this one without a word.
      if (names.includes('__proto__'))
        context.addIssue({ code: 'custom', path: ['__proto__'], message: 'this name cannot be taken; choose another' });
      const long = names.find(({ length }) => length > limits.nameLength);
      if (long !== undefined)
        context.addIssue({
          code: 'custom',
          path: [`${long.slice(0, shownLength)}…`],
          message: `a name has at most ${limits.nameLength} characters`,
        });
    })
    .pipe(z.record(key, value));
}
