import type { Rng } from '@plumbline/shared/rng';
import { toWireError } from '@plumbline/server/dist/run/refusal.js';
import { short } from '../attack.js';

/** A place where data comes in from outside, with input that is nearly right. */
export interface Boundary {
  /** Tries one round of inputs. @returns how many they were, and what was wrong with the answer to one; null when nothing */
  next(): Promise<{ inputs: number; fault: string | null }>;
  close?(): Promise<void>;
}
/** @param folder an empty one for its files */
export type OpenBoundary = (rng: Rng, folder: string) => Promise<Boundary>;

/** What nobody outside is to read: the program was surprised. */
const surprised =
  /Cannot read prop|is not a function|is not iterable|Invalid string length|Maximum call stack|\[object /;
const maxWords = 100_000;

/** What is wrong about an error as a refusal; null when it tells a person what is wrong. */
export function errorFault(error: unknown): string | null {
  if (!(error instanceof Error)) return `something was thrown that is no error: ${short(String(error))}`;
  const isOwn = !['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'AggregateError'].includes(error.name);
  if (!isOwn || surprised.test(error.message)) return `${error.name}: ${short(error.message)}`;
  if (error.message.trim() === '') return `an ${error.name} without a word`;
  if (error.message.length > maxWords) return `a refusal of ${error.message.length} characters`;
  return null;
}

/** What reads a message, or refuses it. */
export interface Schema {
  parse: (value: unknown) => unknown;
}

/** What is wrong about how a message is taken: it is parsed, or refused with a code that is not `internal`, and words. */
export function messageFault(schema: Schema, value: unknown): string | null {
  try {
    schema.parse(value);
    return null;
  } catch (error) {
    const { code, message } = toWireError(error);
    if (code === 'internal') return `it is answered "internal": ${short(String(error))}`;
    if (message.trim() === '') return `it is refused as ${code} without a word`;
    return message.length > maxWords ? `its refusal has ${message.length} characters` : null;
  }
}

/** A boundary whose inputs are single values. */
export const ofValues =
  (draw: (rng: Rng) => unknown, fault: (value: unknown) => string | null): OpenBoundary =>
  (rng) =>
    Promise.resolve({
      next: () => {
        const value = draw(rng);
        const found = fault(value);
        const input = found === null ? '' : typeof value === 'string' ? value : JSON.stringify(value);
        return Promise.resolve({ inputs: 1, fault: found && `${found}; input ${short(input, 400)}` });
      },
    });
