/** Browsers and Node have it; the types of neither are used here. */
declare class TextDecoder {
  constructor(label: 'utf-8', options: { fatal: boolean; ignoreBOM?: boolean });
  decode(bytes: Uint8Array, options?: { stream: boolean }): string;
}

/** Bytes that are not UTF-8. The reader of a file adds its name to the message. */
export class NotUtf8Error extends Error {
  override name = 'NotUtf8Error';
  /**
   * @param byte the first byte that cannot be read, counted from 1
   * @param line its line, counted from 1
   */
  constructor(
    readonly byte: number,
    readonly line: number,
  ) {
    super(`not UTF-8 at byte ${byte}, in line ${line}`);
  }
}

/**
 * The text of a file that comes in chunks of bytes. A byte order mark at its beginning is no part of it.
 * @throws NotUtf8Error at the first byte that is not UTF-8, after the text of the chunks before it
 */
export async function* utf8Text(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let [offset, lines] = [0, 0];
  let rest: Uint8Array = new Uint8Array();
  const decoded = (bytes: Uint8Array): string => {
    try {
      return decoder.decode(bytes);
    } catch {
      const at = firstFault(bytes);
      throw new NotUtf8Error(offset + at + 1, lines + 1 + newlines(bytes.subarray(0, at)));
    }
  };
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : joined(rest, chunk);
    const end = bytes.length - unfinished(bytes);
    const whole = bytes.subarray(0, end);
    let text = decoded(whole);
    // A mark takes three bytes, so a beginning that is shorter stays in `rest`.
    if (offset === 0) text = text.replace(/^\uFEFF/, '');
    rest = bytes.slice(end);
    offset += whole.length;
    lines += newlines(whole);
    if (text !== '') yield text;
  }
  if (rest.length > 0) throw new NotUtf8Error(offset + 1, lines + 1);
}

export interface TextLine {
  /** From 1. */
  number: number;
  /** Without its line feed; null if it is longer than the limit. */
  text: string | null;
}

/**
 * The lines of a text. They end with a line feed alone: U+2028 may stand inside JSON.
 * @param maxLength characters of the longest line that is read; of a longer one no more than this is held in memory
 */
export async function* textLines(text: AsyncIterable<string>, maxLength: number): AsyncGenerator<TextLine> {
  let number = 0;
  let parts: string[] = [];
  let length = 0;
  const add = (part: string): void => {
    length += part.length;
    if (length > maxLength) parts = [];
    else parts.push(part);
  };
  const line = (): TextLine => {
    const whole = length > maxLength ? null : parts.join('');
    parts = [];
    length = 0;
    return { number: ++number, text: whole };
  };
  for await (const chunk of text) {
    const [first, ...others] = chunk.split('\n');
    add(first!);
    for (const part of others) {
      yield line();
      add(part);
    }
  }
  if (length > 0) yield line();
}

function newlines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
  return count;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** The number of bytes of an incomplete character at the end. */
function unfinished(bytes: Uint8Array): number {
  for (let count = 1; count <= Math.min(3, bytes.length); count++) {
    const byte = bytes[bytes.length - count]!;
    if ((byte & 0b1100_0000) === 0b1000_0000) continue;
    const size = byte >= 0b1111_0000 ? 4 : byte >= 0b1110_0000 ? 3 : byte >= 0b1100_0000 ? 2 : 1;
    return size > count ? count : 0;
  }
  return 0;
}

/** The index of the first byte that is not UTF-8: the shortest beginning that cannot be decoded ends with it. */
function firstFault(bytes: Uint8Array): number {
  let [whole, broken] = [0, bytes.length];
  while (broken - whole > 1) {
    const middle = (whole + broken) >> 1;
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
      whole = middle;
    } catch {
      broken = middle;
    }
  }
  return broken - 1;
}
