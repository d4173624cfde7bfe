import fc from 'fast-check';
import { z } from 'zod';
import { maxStep } from '@plumbline/shared/limits';
import { MetricName } from '@plumbline/shared/metric';

import { TrainerEvent } from '@plumbline/shared/trainer-event';
import { oddNames } from '../support/odd-names.js';

/** As much of JSON Schema as the events of trainers use. */
interface Schema {
  type?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  propertyNames?: Schema;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  maxItems?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
}

/** Values at the edges more often than any others. */
const numbers = ({ type, minimum, maximum, exclusiveMinimum }: Schema): fc.Arbitrary<number> => {
  if (type === 'integer') {
    const [min, max] = [exclusiveMinimum !== undefined ? exclusiveMinimum + 1 : (minimum ?? 0), maximum!];
    const edges = [min, 2 ** 31 - 1, 2 ** 31, 2 ** 32, max].filter((value) => value >= min && value <= max);
    return fc.oneof(fc.integer({ min, max }), fc.constantFrom(...edges));
  }
  const any = fc.double({
    noNaN: true,
    noDefaultInfinity: true,
    min: minimum ?? -Number.MAX_VALUE,
    max: maximum ?? Number.MAX_VALUE,
  });
  const edges = [0, 5e-324, 0.1, 2 ** 53, 1.7e18, Number.MAX_VALUE].filter((value) => value <= (maximum ?? value));
  return fc.oneof(any, fc.constantFrom(...edges), ...(minimum === undefined ? [fc.constant(-0)] : []));
};

const texts = ({ minLength = 0, maxLength = 200, pattern }: Schema): fc.Arbitrary<string> => {
  if (pattern !== undefined)
    return fc
      .stringMatching(new RegExp(pattern))
      .filter((text) => text.length <= maxLength && text.length >= minLength);
  const odd = `"\\,= ${String.fromCharCode(0, 10, 127, 0x2028)}é😀`;
  return fc.oneof(
    { weight: 8, arbitrary: fc.string({ unit: 'binary', minLength, maxLength: Math.min(40, maxLength) }) },
    { weight: 1, arbitrary: fc.constant(odd.repeat(Math.ceil(maxLength / odd.length)).slice(0, maxLength)) },
  );
};

/** Names of records: what no schema says of them, that they are printable, is so of each. */
const namesOf = ({ maxLength = 200 }: Schema): fc.Arbitrary<string> =>
  fc
    .oneof(fc.constantFrom(...oddNames), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }))
    .filter((name) => name.length <= maxLength && MetricName.safeParse(name).success);

function valuesOf(schema: Schema): fc.Arbitrary<unknown> {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return fc.oneof(...choices.map(valuesOf));
  if ('const' in schema) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  switch (schema.type) {
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case 'number':
    case 'integer':
      return numbers(schema);
    case 'string':
      return texts(schema);
    case 'array':
      return fc.array(valuesOf(schema.items!), { maxLength: Math.min(4, schema.maxItems ?? 4) });
    case 'object': {
      if (schema.propertyNames) {
        const names = namesOf(schema.propertyNames);
        return fc.dictionary(names, valuesOf(schema.additionalProperties as Schema), {
          maxKeys: 5,
          noNullPrototype: false,
        });
      }
      const properties = Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([name, property]) => [name, valuesOf(property)]),
      );
      return fc.record(properties, { requiredKeys: schema.required ?? [] });
    }
    default:
      throw new Error(`There are no values for ${JSON.stringify(schema)}.`);
  }
}

const anyEvent = valuesOf(z.toJSONSchema(TrainerEvent) as Schema).filter(
  (event) => TrainerEvent.safeParse(event).success,
) as fc.Arbitrary<TrainerEvent>;

/** Events of all types with all that the protocol lets a trainer say, numbered from 1; their steps do not go back. */
export const anyEvents: fc.Arbitrary<TrainerEvent[]> = fc
  .tuple(
    fc.array(anyEvent, { minLength: 1, maxLength: 12 }),
    fc.array(fc.oneof(fc.nat({ max: 50 }), fc.integer({ min: 0, max: maxStep })), { minLength: 12, maxLength: 12 }),
  )
  .map(([events, steps]) => {
    steps.sort((a, b) => a - b);
    return events.map((event, i) => ({ ...event, seq: i + 1, step: steps[i]! }));
  });
