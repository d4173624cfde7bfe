import { describe, expect, it } from 'vitest';
import { toWords } from './words.js';

describe('text as words', () => {
  it.each([
    ['What colour is the bird?', 'what colour is the bird ?'],
    ['10:08', '10 : 08'],
    ['  There are  3 cats. ', 'there are 3 cats .'],
    ['1,200.5 m, or so', '1,200.5 m , or so'],
    ['A red circle', 'a red circle'],
    ['B', 'B'],
    ['C A T', 'C A T'],
  ])('"%s" is "%s"', (text, words) => expect(toWords(text)).toBe(words));
});
