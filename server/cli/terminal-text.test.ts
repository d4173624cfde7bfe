import { expect, it } from 'vitest';
import { table } from './table.js';
import { jsonLine, terminalText } from './terminal-text.js';

const nasty = 'a\u001b[31mred\u0007\u009b2J\u202eback\nnext\tcell';

it('leaves nothing in text that a terminal would obey', () => {
  expect(terminalText(nasty)).toBe('a�[31mred��2J�back next cell');
  expect(terminalText(nasty, 'lines')).toBe('a�[31mred��2J�back\nnext\tcell');
  expect(terminalText('Zähler → 3 鳥')).toBe('Zähler → 3 鳥');
});

it('writes JSON on one line that reads back the same and has no control characters', () => {
  const line = jsonLine({ name: nasty });
  expect(JSON.parse(line)).toEqual({ name: nasty });

  expect(line).not.toMatch(/[\0-\x1f\x7f-\x9f\u202e]/);
});

it('sets rows in columns, numbers to the right', () => {
  expect(
    table(
      ['RUN', 'STEP'],
      [
        ['a', '5'],
        ['run-2', '120'],
      ],
      [1],
    ),
  ).toEqual(['RUN    STEP', 'a         5', 'run-2   120']);
  expect(table(['A', 'B'], [['x\ny', '']])).toEqual(['A    B', 'x y']);
});
