import { Writable } from 'node:stream';
import type { Response } from 'express';
import { expect, it } from 'vitest';
import { JsonAnswer } from './json-answer.js';

it('a long text is sent in short pieces, and no character is cut in two', async () => {
  const pieces: Buffer[] = [];
  const response = new Writable({ write: (piece: Buffer, _encoding, done) => (pieces.push(piece), done()) });
  Object.assign(response, { getHeader: () => 'application/json' });
  const answer = new JsonAnswer(response as unknown as Response, new AbortController().signal);
  // Four bytes and two units of UTF-16 a character, at odd and even places.
  const texts = ['😀'.repeat(400_000), `x${'😀'.repeat(400_000)}`];
  for (const text of texts) await answer.write(text);
  answer.end('');
  expect(Buffer.concat(pieces).toString() === texts.join('')).toBe(true);
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(700_000);
});
