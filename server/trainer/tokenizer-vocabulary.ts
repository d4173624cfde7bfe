import { z } from 'zod';

/**
 * BPE, WordLevel and WordPiece map a token to its id; Unigram lists tokens with their scores in order of ids. A record
 * of zod would leave out the token `__proto__`.
 */
export const Vocabulary = z.custom<Record<string, number> | [token: string, score: number][]>((value) => {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return value.every((entry) => Array.isArray(entry) && typeof entry[0] === 'string');
  return Object.values(value).every((id) => Number.isSafeInteger(id) && id >= 0);
}, 'tokens with their ids, or a list of tokens with their scores');

/** The parts that are read of a Hugging Face `tokenizer.json` of any kind. */
const TokenizerFile = z.object({
  added_tokens: z.array(z.object({ id: z.number().int().nonnegative(), content: z.string() })).default([]),
  pre_tokenizer: z.unknown().optional(),
  decoder: z.unknown().optional(),
  model: z.object({ vocab: Vocabulary }),
});

/**
 * The text of each token of a Hugging Face tokenizer, by id: a byte-level BPE's `Ġseven` (GPT-2, Llama 3, Qwen) and a
 * SentencePiece's `▁seven` (Llama 2) are both ` seven`. An id without a token gives the empty text; many models have
 * such ids between the vocabulary and the added tokens.
 * @param tokenizerJson the parsed content of a `tokenizer.json`
 * @throws Error when it is not a tokenizer with a vocabulary
 */
export function vocabularyOf(tokenizerJson: unknown): string[] {
  const parsed = TokenizerFile.safeParse(tokenizerJson);
  if (!parsed.success)
    throw new Error(`This is not a tokenizer.json with a vocabulary: ${z.prettifyError(parsed.error)}`);
  const { added_tokens, pre_tokenizer, decoder, model } = parsed.data;
  // Each may be one component or a sequence of them, nested to any depth.
  const byteLevel = JSON.stringify([pre_tokenizer, decoder]).includes('"type":"ByteLevel"');
  const textOf = byteLevel ? bytesText : (token: string): string => token.replaceAll('▁', ' ');
  const words: string[] = [];
  const entries = Array.isArray(model.vocab)
    ? model.vocab.map(([token], id) => [token, id] as const)
    : Object.entries(model.vocab);
  for (const [token, id] of entries) words[id] = textOf(token);
  for (const { id, content } of added_tokens) words[id] = content;
  return Array.from(words, (word) => word ?? '');
}

/**
 * Character -> byte of byte-level BPE (`bytes_to_unicode` of GPT-2): bytes that are printable in Latin-1 map to
 * themselves; the others, including the space, map to the characters from 256 on, in order.
 */
const byteOfCharacter = new Map<string, number>();
const printable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
for (let byte = 0, next = 256; byte < 256; byte++)
  byteOfCharacter.set(String.fromCodePoint(printable(byte) ? byte : next++), byte);

/** Bytes of half a character decode to `\ufffd`; a token that is not written in bytes is its own text. */
function bytesText(token: string): string {
  const bytes = Array.from(token, (character) => byteOfCharacter.get(character));
  return bytes.includes(undefined) ? token : Buffer.from(bytes as number[]).toString('utf8');
}
