/**
 * Text of a data set as words between spaces, which is how the built-in tokenizer splits: punctuation stands alone
 * ("3:15" is "3 : 15"), letters are small. Single capital letters are kept where there is nothing else, since they are
 * an option ("B") or a spelled word ("C A T").
 */
export function toWords(text: string): string {
  // A point or a comma before a digit belongs to a number.
  const words = text
    .replace(/[?!:;()"]|[.,](?!\d)/g, ' $& ')
    .trim()
    .split(/\s+/);
  return words.every((word) => /^[A-Z]$/.test(word)) ? words.join(' ') : words.join(' ').toLowerCase();
}
