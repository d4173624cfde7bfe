/**
 * Converts a data set's text into words between spaces, as the built-in tokenizer splits it: punctuation becomes
 * separate ("3:15" is "3 : 15") and letters lower-case. A text of single capital letters only stays, since it is an
 * option ("B") or a spelled word ("C A T").
 */
export function toWords(text: string): string {
  // A point or a comma before a digit belongs to a number.
  const words = text
    .replace(/[?!:;()"]|[.,](?!\d)/g, ' $& ')
    .trim()
    .split(/\s+/);
  return words.every((word) => /^[A-Z]$/.test(word)) ? words.join(' ') : words.join(' ').toLowerCase();
}
