import type { z } from 'zod';
import { recordOf } from './record.js';

/**
 * Characters that move a cursor, colour a terminal or turn the order of letters, and halves of a pair that are no
 * character. No name needs them; a name with them is not what it looks like.
 */
const odd = /[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
/** Those of running text, which may have tabs and line breaks of any system. */
const oddInText = new RegExp(`(?!\\r\\n|[\\n\\t\\u2028\\u2029])${odd.source}`, odd.flags);

/** Whether a text is one line without odd characters. */
export const isPlain = (text: string): boolean => text.search(odd) < 0;

/** A text for a terminal or a log: odd characters as `\u001b`, which JSON reads back as they were. */
export const visibleLine = (text: string): string => text.replace(odd, escaped);
/** As `visibleLine`, of a text that may have lines. */
export const visibleText = (text: string): string => text.replace(oddInText, escaped);
const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * A value with odd characters in its texts and keys replaced by U+FFFD, one by one, so that no text gets longer. Tabs and
 * line breaks stay.
 */
export function cleaned<T>(value: T): T {
  if (typeof value === 'string') return value.replace(oddInText, '\uFFFD') as T;
  if (Array.isArray(value)) return value.map((item: unknown) => cleaned(item)) as T;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [cleaned(key), cleaned(item)] as const);
  return (Object.getPrototypeOf(value) === null ? recordOf(entries) : Object.fromEntries(entries)) as T;
}

/** For `superRefine`: refuses a value with odd characters, or a line break, in any of its texts. */
export function allPlain(value: unknown, context: z.RefinementCtx): void {
  const look = (part: unknown, path: PropertyKey[]): void => {
    if (typeof part === 'string') {
      if (!isPlain(part))
        context.addIssue({
          code: 'custom',
          path,
          message: 'control characters, line breaks and marks of writing direction are not allowed',
        });
    } else if (typeof part === 'object' && part !== null)
      for (const [key, item] of Object.entries(part)) look(item, [...path, Array.isArray(part) ? Number(key) : key]);
  };
  look(value, []);
}
