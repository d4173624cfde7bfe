import type { z } from 'zod';
import { recordOf } from './record.js';

/**
 * Control characters, bidirectional marks and lone surrogates: they move a cursor, colour a terminal or reorder text. No
 * name needs them, and a name with them is not what it looks like.
 */
const odd = /[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
/** Odd characters in running text, which may have tabs and any line breaks. */
const oddInText = new RegExp(`(?!\\r\\n|[\\n\\t\\u2028\\u2029])${odd.source}`, odd.flags);

/** Whether a text is one line without odd characters. */
export const isPlain = (text: string): boolean => text.search(odd) < 0;

/** Escapes a text for a terminal or a log: odd characters become `\u001b`, which JSON can read back. */
export const visibleLine = (text: string): string => text.replace(odd, escaped);
/** Like `visibleLine`, but keeps line breaks. */
export const visibleText = (text: string): string => text.replace(oddInText, escaped);
const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * Replaces each odd character in the texts and keys of a value by U+FFFD, so that no text gets longer. Tabs and line
 * breaks stay.
 */
export function cleaned<T>(value: T): T {
  if (typeof value === 'string') return value.replace(oddInText, '\uFFFD') as T;
  if (Array.isArray(value)) return value.map((item: unknown) => cleaned(item)) as T;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [cleaned(key), cleaned(item)] as const);
  return (Object.getPrototypeOf(value) === null ? recordOf(entries) : Object.fromEntries(entries)) as T;
}

/** For `superRefine`: refuses a value with an odd character or a line break in any text. */
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
