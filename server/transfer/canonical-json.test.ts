import { expect, it } from 'vitest';
import { canonicalJson, canonicalParts } from './canonical-json.js';

it('canonical JSON does not depend on the order of keys', () => {
  const text = '{"10":1,"9":{"a":[true,null],"b":"\u2028"},"B":0}';
  expect(canonicalJson({ B: -0, 9: { b: '\u2028', a: [true, null], c: undefined }, 10: 1 })).toBe(text);
});

const many = <T>(count: number, entry: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => entry(i));

it.each([
  ['a number', -0],
  ['an empty list', []],
  ['a short object', { b: 1, a: [undefined, null] }],
  ['a long list', many(3000, (i) => i)],
  ['a long list with gaps', many(3000, (i) => (i % 3 === 0 ? undefined : { b: i, a: 'x' }))],
  ['a long object', Object.fromEntries(many(3000, (i) => [`${(i * 7919) % 3000}`, i % 3 === 0 ? undefined : i]))],
  [
    'long lists in an object',
    { z: many(900, (i) => ({ shape: [i, i], name: `"☃ ${i}` })), a: { c: many(900, () => []) } },
  ],
])('the parts of %s make up its canonical JSON', (_name, value) => {
  expect([...canonicalParts(value)].join('')).toBe(canonicalJson(value));
});

it('no part of a large value is long', () => {
  const value = { model: { parameters: many(10_000, (i) => ({ name: `layers.${i}`, shape: [i, i], group: 'a' })) } };
  const parts = [...canonicalParts(value)];
  expect(parts.join('')).toBe(canonicalJson(value));
  expect(Math.max(...parts.map(({ length }) => length))).toBeLessThan(10_000);
});
