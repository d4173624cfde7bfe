import { endToken, padToken, Tokenizer, unknownToken } from '../tokenizer.js';
import { easyVqaWords } from './easy-vqa.js';
import { colourNames, shapeNames } from './scene.js';

/** Every word that a task can ask or answer with, and words that tasks to come need: letters and written numbers. */
export function builtInTokenizer(): Tokenizer {
  const words =
    'what colour is the ? shape object where there a yes no describe picture and which digit this how many shapes are ' +
    'time it : top bottom left right';
  const numbers =
    '0 1 2 3 4 5 6 7 8 9 10 11 12 00 15 30 45 zero one two three four five six seven eight nine ten eleven twelve ' +
    'first second third';
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
  const all = [
    ...[padToken, endToken, unknownToken],
    ...words.split(' '),
    ...colourNames,
    ...shapeNames,
    ...easyVqaWords().sort(),
    ...numbers.split(' '),
    ...letters,
  ];
  return new Tokenizer([...new Set(all)]);
}
