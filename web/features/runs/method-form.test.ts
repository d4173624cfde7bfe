import { describe, expect, it } from 'vitest';
import { TrainingMethod } from '@plumbline/shared/built-in/method';
import { methodFieldError, methodFields, readMethod, toTexts, type MethodKind, type MethodTexts } from './method-form';

const kinds = Object.keys(methodFields) as MethodKind[];
const texts = toTexts({ kind: 'fine_tuning' });
const typed = (kind: MethodKind, change: Partial<MethodTexts>): TrainingMethod =>
  readMethod(kind, { ...texts, ...change });

describe('the method’s fields', () => {
  it.each(kinds)('%s: start with the defaults and are read back', (kind) => {
    const method = TrainingMethod.parse({ kind });
    expect(readMethod(kind, texts)).toEqual(method);
    expect(Object.keys(method).filter((key) => key !== 'kind')).toEqual(methodFields[kind].map(({ field }) => field));
  });
  it('keep a method’s values', () => {
    const method: TrainingMethod = { kind: 'wise_ft', weights: [0.1, 0.9] };
    expect(readMethod('wise_ft', toTexts(method))).toEqual(method);
    expect(typed('wise_ft', { weights: ' 0, .5;1 ' })).toEqual({ kind: 'wise_ft', weights: [0, 0.5, 1] });
  });
  it.each([
    ['lora', 'rank', '', 'Give a number.'],
    ['lora', 'rank', '2.5', 'Must be a whole number.'],
    ['lora', 'rank', '0', 'At least 1.'],
    ['lora', 'rank', '300', 'At most 256.'],
    ['lora', 'alpha', '0', 'Must be above 0.'],
    ['lwf', 'temperature', 'warm', 'Give a number.'],
    ['mixture_of_experts', 'experts', '9', 'At most 8.'],
    ['wise_ft', 'weights', '', 'Up to 11 numbers from 0 to 1, e.g. 0.25 0.5 0.75.'],
    ['wise_ft', 'weights', '0.5 2', 'Up to 11 numbers from 0 to 1, e.g. 0.25 0.5 0.75.'],
  ] as const)('%s: say what is wrong with %s %j', (kind, field, text, message) => {
    expect(methodFieldError(typed(kind, { [field]: text }), field)).toBe(message);
    expect(methodFieldError(typed(kind, {}), field)).toBeUndefined();
  });
});
