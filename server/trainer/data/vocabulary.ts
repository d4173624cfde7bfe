import { endToken, padToken, Tokenizer, unknownToken } from '../tokenizer.js';
import { easyVqaWords } from './easy-vqa.js';
import { kindNames } from './kinds.js';
import { colourNames, shapeNames } from './scene.js';
import { surfaces } from './tissue.js';

/**
 * The tokenizer of every word in the tasks' questions and answers, and of the numbers that counts and times need beyond
 * the built-in tasks: 0 to 59, and 00 to 09 for minutes. `Tokenizer.encode` reports a missing word.
 */
export function builtInTokenizer(): Tokenizer {
  const words =
    'what colour is the ? shape object where there a yes no describe picture and which digit this how many shapes are ' +
    'time it : top bottom left right highest lowest bar bird surface stained brown side word';
  const written = 'zero one two three four five six seven eight nine ten eleven twelve first second third';
  const counts = Array.from({ length: 60 }, (_, n) => String(n));
  const minutes = Array.from({ length: 10 }, (_, n) => `0${n}`);
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
  const all = [
    ...[padToken, endToken, unknownToken],
    ...words.split(' '),
    ...[...colourNames, ...shapeNames, ...kindNames, ...surfaces],
    ...easyVqaWords().sort(),
    ...[...counts, ...minutes, ...written.split(' ')],
    ...letters,
  ];
  return new Tokenizer([...new Set(all)]);
}
