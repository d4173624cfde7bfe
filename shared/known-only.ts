import { z } from 'zod';
import { closestName } from './closest-name.js';

/*
 * Zod drops unknown keys. That is right for stored data and for other versions, but wrong for input that people write: a
 * misspelt setting would be dropped silently.
 */

/**
 * A strict version of a schema, for input that people and their programs write. It refuses unknown names at any depth, and
 * says each name, its place and the nearest known name.
 */
export function knownOnly<T extends z.ZodType>(schema: T): z.ZodType<z.output<T>> {
  return z.unknown().transform((given, context): z.output<T> => {
    const unknown = unknownNames(schema, given, []);
    // Reports several faults at once, but not as many as a hostile sender likes.
    for (const { path, name, known } of unknown.slice(0, 10))
      context.addIssue({ code: 'custom', path, message: unknownWords(name, known) });
    const read = schema.safeParse(given);
    // Reports a missing name after the misspelt name that causes it.
    if (!read.success)
      for (const { path, message } of read.error.issues) context.addIssue({ code: 'custom', path: [...path], message });
    return read.success ? read.data : z.NEVER;
  });
}

/** The first faults of an input, each with its place: `rules.0.name: a rule needs a name; …`. */
export const issueWords = ({ issues }: z.ZodError): string =>
  issues
    .slice(0, 5)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
    .join('; ');

interface UnknownName {
  /** Of the object that has it. */
  path: PropertyKey[];
  name: string;
  known: string[];
}

function unknownNames(schema: z.core.$ZodType, given: unknown, path: PropertyKey[]): UnknownName[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'default':
    case 'optional':
    case 'nullable':
    case 'readonly':
      return unknownNames(def.innerType, given, path);
    case 'pipe':
      return unknownNames(def.in, given, path);
    case 'array':
      if (!Array.isArray(given)) return [];
      return given.flatMap((item: unknown, index) => unknownNames(def.element, item, [...path, index]));
    case 'record':
      if (!isObject(given)) return [];
      return Object.entries(given).flatMap(([name, value]) => unknownNames(def.valueType, value, [...path, name]));
    case 'object': {
      if (!isObject(given)) return [];
      const known = Object.keys(def.shape);
      return Object.entries(given).flatMap(([name, value]) =>
        Object.hasOwn(def.shape, name)
          ? unknownNames(def.shape[name]!, value, [...path, name])
          : [{ path, name, known }],
      );
    }
    case 'union': {
      if (!('discriminator' in def) || !isObject(given)) return [];
      const { discriminator } = def as z.core.$ZodDiscriminatedUnionDef;
      const option = def.options.find((one) =>
        one._zod.propValues?.[discriminator]?.has(given[discriminator] as string),
      );
      return option ? unknownNames(option, given, path) : [];
    }
    default:
      return [];
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const shownLength = 60;

function unknownWords(name: string, known: readonly string[]): string {
  const shown = name.length > shownLength ? `${name.slice(0, shownLength)}…` : name;
  const near = closestName(name, known);
  return `there is no "${shown}" here${near === null ? '' : `; did you mean "${near}"?`}`;
}
