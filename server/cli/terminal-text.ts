/**
 * Text of others, made safe for a terminal: names and reasons come from trainers. Control characters, which could move
 * the cursor or colour the screen, and marks that turn the direction of writing become `�`.
 * @param breaks `line`: line breaks and tabs become spaces; `lines`: they stay
 */
export function terminalText(text: string, breaks: 'line' | 'lines' = 'line'): string {
  const kept = breaks === 'line' ? text.replace(/[\r\n\t\u2028\u2029]+/g, ' ') : text;

  return kept.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '�');
}

/** One JSON value on one line, for programs; a terminal takes no control characters of it either. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
