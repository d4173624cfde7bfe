import { readFile } from 'node:fs/promises';
import { z } from 'zod';

/** The parts of a Hugging Face `tokenizer.json` that a word-level tokenizer uses. */
const TokenizerFile = z.object({
  version: z.literal('1.0'),
  pre_tokenizer: z.object({ type: z.literal('WhitespaceSplit') }),
  model: z.object({
    type: z.literal('WordLevel'),
    vocab: z.record(z.string(), z.number().int().nonnegative()),
    unk_token: z.string(),
  }),
});

export const padToken = '<pad>';
export const endToken = '<eos>';
export const unknownToken = '<unk>';

/**
 * A word-level tokenizer: the vocabulary of the built-in tasks is small and closed, so a word is a token. The file is a
 * Hugging Face `tokenizer.json` (WordLevel, split at white space) that their libraries can read.
 */
export class Tokenizer {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #words: readonly string[];
  readonly padId = 0;
  readonly endId: number;

  /** @param words in order of their ids; the first is the padding */
  constructor(words: readonly string[]) {
    const whole = Array.from(words).every((word) => typeof word === 'string');
    if (!whole || words[0] !== padToken || !words.includes(endToken) || new Set(words).size !== words.length)
      throw new Error(`A vocabulary starts with ${padToken}, contains ${endToken} and has one word for each id.`);
    this.#words = words;
    this.#ids = new Map(words.map((word, id) => [word, id]));
    this.endId = this.#ids.get(endToken)!;
  }

  /** @throws Error when the file is not a word-level tokenizer */
  static async fromFile(path: string): Promise<Tokenizer> {
    const file = TokenizerFile.parse(JSON.parse(await readFile(path, 'utf8')));
    const words: string[] = [];
    for (const [word, id] of Object.entries(file.model.vocab)) words[id] = word;
    return new Tokenizer(words);
  }

  /** The content of a `tokenizer.json`; Hugging Face's libraries require every key, even for absent parts. */
  toJSON(): z.infer<typeof TokenizerFile> & Record<string, unknown> {
    return {
      version: '1.0',
      ...{ truncation: null, padding: null, added_tokens: [], normalizer: null },
      pre_tokenizer: { type: 'WhitespaceSplit' },
      ...{ post_processor: null, decoder: null },
      model: { type: 'WordLevel', vocab: Object.fromEntries(this.#ids), unk_token: unknownToken },
    };
  }

  get size(): number {
    return this.#words.length;
  }
  get words(): readonly string[] {
    return this.#words;
  }

  /** @throws Error naming a word that is not in the vocabulary: an <unk> would silently make the task wrong */
  encode(text: string): number[] {
    return text.split(/\s+/).flatMap((word) => {
      if (word === '') return [];
      const id = this.#ids.get(word);
      if (id === undefined) throw new Error(`"${word}" is not in the vocabulary.`);
      return [id];
    });
  }
  decode(ids: readonly number[]): string {
    return ids.map((id) => this.#words[id] ?? unknownToken).join(' ');
  }
}
