import type { Rng } from '@plumbline/shared/rng';
import { toWireError } from '@plumbline/server/dist/run/refusal.js';
import { short } from '../attack.js';

/** A boundary where data enters, with almost valid input. */
export interface Boundary {
  /** Tries one round of inputs. @returns their number, and the fault of an answer or null */
  next(): Promise<{ inputs: number; fault: string | null }>;
  close?(): Promise<void>;
}
/** @param folder an empty folder for its files */
export type OpenBoundary = (rng: Rng, folder: string) => Promise<Boundary>;

/** Messages of internal errors, which no outsider should see. */
const surprised =
  /Cannot read prop|is not a function|is not iterable|Invalid string length|Maximum call stack|\[object /;
const maxWords = 100_000;

/** The fault of an error as a refusal; null if it tells a person what is wrong. */
export function errorFault(error: unknown): string | null {
  if (!(error instanceof Error)) return `a value was thrown that is not an error: ${short(String(error))}`;
  const isOwn = !['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'AggregateError'].includes(error.name);
  if (!isOwn || surprised.test(error.message)) return `${error.name}: ${short(error.message)}`;
  if (error.message.trim() === '') return `an ${error.name} without a message`;
  if (error.message.length > maxWords) return `a refusal of ${error.message.length} characters`;
  return null;
}

/** A parser that reads or refuses a message. */
export interface Schema {
  parse: (value: unknown) => unknown;
}

/**
 * The fault in the handling of a message, which must be parsed, or refused with a message and a code other than
 * `internal`.
 */
export function messageFault(schema: Schema, value: unknown): string | null {
  try {
    schema.parse(value);
    return null;
  } catch (error) {
    const { code, message } = toWireError(error);
    if (code === 'internal') return `it is answered "internal": ${short(String(error))}`;
    if (message.trim() === '') return `it is refused as ${code} without a message`;
    return message.length > maxWords ? `its refusal has ${message.length} characters` : null;
  }
}

/** A boundary with single values as inputs. */
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
