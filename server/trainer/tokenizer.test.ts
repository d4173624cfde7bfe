import { readFile } from 'node:fs/promises';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { beforeAll, describe, expect, it } from 'vitest';
import { Rng } from '@plumbline/shared/rng';
import { assetPath } from './asset.js';
import { heldOutTasks } from './data/held-out-tasks.js';
import { targetTasks } from './data/target-tasks.js';
import { builtInTokenizer } from './data/vocabulary.js';
import { Tokenizer } from './tokenizer.js';

describe('the shipped tokenizer', () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await Tokenizer.fromFile(assetPath('base/tokenizer.json'));
  });

  it('has the vocabulary of the tasks', () => expect(tokenizer.words).toEqual(builtInTokenizer().words));
  it('gives the same ids as Hugging Face’s library from the same file', async () => {
    const file = JSON.parse(await readFile(assetPath('base/tokenizer.json'), 'utf8')) as object;
    const theirs = new HuggingFaceTokenizer(file, {});
    const rng = new Rng(4);
    for (const task of [...heldOutTasks, ...targetTasks])
      for (let i = 0; i < 50; i++) {
        const { prompt, answer } = task.sample(rng, 'train');
        expect(tokenizer.encode(`${prompt} ${answer}`)).toEqual(theirs.encode(`${prompt} ${answer}`).ids);
      }
  });
  it('decodes to the same words, for any spaces', () =>
    expect(tokenizer.decode(tokenizer.encode(' a red\n circle  and a '))).toBe('a red circle and a'));
  it('pads with 0, which is not a word of any text', () => {
    expect(tokenizer.words[tokenizer.padId]).toBe('<pad>');
    expect(tokenizer.words[tokenizer.endId]).toBe('<eos>');
  });
  it('refuses an unknown word by name', () => expect(() => tokenizer.encode('a red zebra')).toThrow('"zebra"'));
});

describe('a vocabulary', () => {
  it.each([
    ['without padding at the front', ['<eos>', 'a']],
    ['without an end', ['<pad>', 'a']],
    ['with a word twice', ['<pad>', '<eos>', 'a', 'a']],
    ['with a number that no word has', ['<pad>', '<eos>', , 'a'] as string[]],
  ])('%s is refused', (_, words) => expect(() => new Tokenizer(words)).toThrow(/vocabulary/));
});
