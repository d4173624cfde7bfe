import { expect, it } from 'vitest';
import { table } from './table.js';

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
});

it('keeps a name on one line and shows control characters visibly', () => {
  expect(table(['A', 'B'], [['x\ny\u001b[31m', '']])).toEqual([`A${' '.repeat(19)}B`, 'x\\u000ay\\u001b[31m']);
});
