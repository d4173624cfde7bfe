import { setImmediate as afterOthers } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { parseInTurns } from './parse-in-turns.js';
import { Turn } from './turn.js';

const odd = 'a "quoted" ]},\\"\\\\ {"x":[ \u2028 name ☃ \\';
const many = <T>(count: number, entry: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => entry(i));

const texts = {
  'a list of numbers': many(50_000, (i) => i - 0.5),
  'a list of lists': many(20_000, (i) => many(i % 4, () => [])),
  'a long object': Object.fromEntries(many(20_000, (i) => [`${odd}${i}`, i % 2 ? null : odd])),
  'long lists beside short fields': {
    ...{ first: 1, [odd]: many(9000, (i) => ({ name: `${odd}${i}`, shape: [i, i], fixed: i % 2 === 0 })) },
    ...{ empty: [], none: {}, nested: { before: '', deep: { list: many(9000, () => odd) }, after: odd }, last: -1e-7 },
  },
  'long entries in a list': many(5, (i) => (i % 2 === 0 ? many(20_000, () => 'x') : i)),
  'one long text': 'y"'.repeat(100_000),
  'a long text in a list': [1, 'y"'.repeat(100_000), 2],
  'names that are numbers': Object.fromEntries(many(20_000, (i) => [String(20_000 - i), `value ${i}`])),
};

it.each(Object.entries(texts))('%s is parsed in turns as JSON.parse does it', async (_name, value) => {
  const text = JSON.stringify(value);
  expect(text.length).toBeGreaterThan(64 * 1024);
  // As text, because a deep comparison takes long; this also compares the order of fields.
  expect(JSON.stringify(await parseInTurns(text)) === text).toBe(true);
});

it('fields with special and repeated names are as JSON.parse gives them', async () => {
  const long = JSON.stringify(many(20_000, () => 'x'));
  const text = `{"b":1,"__proto__":${long},"constructor":2,"b":${long},"a":3}`;
  const parsed = await parseInTurns(text);
  expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype);
  expect(Object.keys(parsed as object)).toEqual(['b', '__proto__', 'constructor', 'a']);
  expect(parsed).toEqual(JSON.parse(text));
});

it('a text with spaces is parsed too', async () => {
  const value = texts['long lists beside short fields'];
  expect(JSON.stringify(await parseInTurns(JSON.stringify(value, null, 2)))).toBe(JSON.stringify(value));
});

it.each([
  ['cut short', (text: string) => text.slice(0, -1)],
  ['cut short inside', (text: string) => text.slice(0, text.length / 2)],
  ['that goes on', (text: string) => `${text}]`],
  ['without a comma', (text: string) => text.replace('},{', '}{')],
  ['with a comma too many', (text: string) => text.replace('},{', '},,{')],
  ['with a comma at its end', (text: string) => text.replace(/\]$/, ',]')],
  ['with another closing bracket', (text: string) => text.replace(/\]$/, '}')],
])('a text %s is no JSON', async (_name, change) => {
  const text = JSON.stringify(many(10_000, (i) => ({ name: `entry ${i}` })));
  await expect(parseInTurns(change(text))).rejects.toThrow(SyntaxError);
});

it('others have their turn while a long text is parsed', async () => {
  const text = JSON.stringify(
    many(200_000, (i) => ({ name: `model.layers.${i}.mlp.down_proj.weight`, shape: [i, i] })),
  );
  let [turns, isOver] = [0, false];
  const others = (async () => {
    while (!isOver) {
      await afterOthers();
      turns++;
    }
  })();
  await parseInTurns(text);
  isOver = true;
  await others;
  expect(turns).toBeGreaterThan(1);
});

it('many short texts share the turn of their caller', async () => {
  const turn = new Turn();
  let turns = 0;
  const next = turn.next.bind(turn);
  turn.next = () => (turns++, next());
  for (let i = 0; i < 2000; i++) await parseInTurns(JSON.stringify(many(500, () => odd)), turn);
  expect(turns).toBeGreaterThan(0);
});
