import { describe, expect, it } from 'vitest';
import { isNumberToken, numberTokenIds } from './number-tokens.js';

describe('number tokens', () => {
  it.each([
    '7',
    '42',
    '3.5',
    '.5',
    '1,000',
    '12,345.6',
    'seven',
    'Seven',
    'TWENTY',
    'twenty-one',
    'third',
    '3rd',
    '21st',
    'hundred',
    'Ġ7',
    '▁seven',
    ' 7',
  ])('%s is one', (token) => expect(isNumberToken(token)).toBe(true));
  it.each(['red', 'a', '', 'Ġ', 'none', 'often', 'tent', '1,00', '1.2.3', 'x7', '7x', ',', '.', 'seconds', 'someone'])(
    '"%s" is none',
    (token) => expect(isNumberToken(token)).toBe(false),
  );
  it('gives the ids of a vocabulary', () => expect(numberTokenIds(['<pad>', 'red', '3', 'Ġfour'])).toEqual([2, 3]));
});
