import { describe, expect, it } from 'vitest';
import { NotUtf8Error, textLines, utf8Text } from './utf8-text.js';

const bytes = (...parts: (string | number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))));

/** The bytes in chunks of so many. */
async function* chunksOf(all: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < all.length; at += size) yield all.subarray(at, at + size);
}
async function textOf(all: Uint8Array, size: number): Promise<string> {
  let text = '';
  for await (const part of utf8Text(chunksOf(all, size))) text += part;
  return text;
}
const sizes = [1, 2, 3, 4, 5, 7, 1000];

describe('the text of bytes', () => {
  it.each(sizes)('is whole however it is cut, without a mark of the byte order (%i bytes)', async (size) => {
    const text = 'añ€𝄞\n\uFEFFinside \uFFFD\u2028 end 一只鸟';
    expect(await textOf(bytes(text), size)).toBe(text);
    expect(await textOf(bytes([0xef, 0xbb, 0xbf], text), size)).toBe(text);
    expect(await textOf(bytes(''), size)).toBe('');
  });

  const faults: [what: string, fault: number[], at: number][] = [
    ['a byte that begins nothing', [0xff], 0],
    ['a continuation without a beginning', [0x80], 0],
    ['a character that breaks off', [0xe4, 0xb8, 0x41], 2],
    ['a surrogate', [0xed, 0xa0, 0x80], 1],
    ['an overlong form', [0xc0, 0xaf], 0],
    ['a number beyond Unicode', [0xf5, 0x80, 0x80, 0x80], 0],
    ['Latin-1', [0xe9, 0x20], 1],
  ];
  it.each(faults.flatMap((fault) => sizes.map((size) => [fault[0], size, fault] as const)))(
    'is refused at %s (%i bytes)',
    async (_what, size, [, fault, at]) => {
      const before = bytes('one\ntwo €\n', 'x'.repeat(9));
      const error: unknown = await textOf(bytes([...before], fault, ' after\n'), size).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(NotUtf8Error);
      expect(error).toMatchObject({ byte: before.length + at + 1, line: 3 });
    },
  );
  it.each(sizes)('is refused where the last character is cut off (%i bytes)', async (size) => {
    await expect(textOf(bytes('a\nb', [0xe4, 0xb8]), size)).rejects.toMatchObject({ byte: 4, line: 2 });
  });
});

describe('the lines of a text', () => {
  async function linesOf(text: string, size: number, maxLength: number): Promise<[number, string | null][]> {
    const lines: [number, string | null][] = [];
    for await (const { number, text: line } of textLines(utf8Text(chunksOf(bytes(text), size)), maxLength))
      lines.push([number, line]);
    return lines;
  }
  it.each(sizes)('are numbered from 1, empty ones too (%i bytes)', async (size) => {
    expect(await linesOf('a\n\nb\u2028c\r\nd', size, 100)).toEqual([
      [1, 'a'],
      [2, ''],
      [3, 'b\u2028c\r'],
      [4, 'd'],
    ]);
    expect(await linesOf('a\n', size, 100)).toEqual([[1, 'a']]);
    expect(await linesOf('', size, 100)).toEqual([]);
  });
  it.each(sizes)('are told apart where one is too long, and those after it are read (%i bytes)', async (size) => {
    expect(await linesOf(`abc\n${'x'.repeat(4)}\nd\n${'y'.repeat(9)}`, size, 3)).toEqual([
      [1, 'abc'],
      [2, null],
      [3, 'd'],
      [4, null],
    ]);
  });
});
