const ones = 'zero one two three four five six seven eight nine'.split(' ');
const teens = 'ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen'.split(' ');
const tens = 'twenty thirty forty fifty sixty seventy eighty ninety'.split(' ');
const scales = 'hundred thousand million billion trillion'.split(' ');
const ordinals = (
  'first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth ' +
  'sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ' +
  'ninetieth hundredth thousandth millionth billionth trillionth'
).split(' ');
const written = new Set([...ones, ...teens, ...tens, ...scales, ...ordinals]);
const compound = new RegExp(`^(${tens.join('|')})-(${[...ones.slice(1), ...ordinals.slice(0, 9)].join('|')})$`);
/** Digits, decimals, thousands with commas, and ordinals such as 3rd. */
const figures = /^(\d+|\d{1,3}(,\d{3})+)(\.\d+)?(st|nd|rd|th)?$|^\.\d+$/;

/**
 * Whether a vocabulary entry is a number: ASCII digits, number words, ordinals, decimals and thousands with commas, in
 * any case, with or without a leading space, be it plain or the mark of byte-pair (`Ġ`) and SentencePiece (`▁`)
 * vocabularies. A number of several tokens does not count as one; its parts may. Method: number-token bias, the
 * counting-bias probe of arXiv 2510.08564.
 */
export function isNumberToken(token: string): boolean {
  const word = token.replace(/^[ Ġ▁]+/, '').toLowerCase();
  return figures.test(word) || written.has(word) || compound.test(word);
}

/**
 * Ids of a vocabulary's number tokens.
 * @param words the tokens' texts by id: a word-level vocabulary, or `vocabularyOf` any Hugging Face tokenizer
 */
export function numberTokenIds(words: readonly string[]): number[] {
  return words.flatMap((word, id) => (isNumberToken(word) ? [id] : []));
}
