import type { Examples, Picture, TokenShift } from '@plumbline/shared/large-event';

/** A PNG of one pixel, followed by `bytes` bytes of text. */
export function aPicture(bytes = 0): Picture {
  const pixel = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=',
    'base64',
  );
  return { mediaType: 'image/png', base64: Buffer.concat([pixel, Buffer.alloc(bytes, 7)]).toString('base64') };
}

export const tokenShift = (seq: number, step = seq, prompts = 'held_out'): TokenShift => ({
  ...{ type: 'token_shift', seq, step, wallTimeMs: 1_700_000_000_000 + seq, prompts },
  tokens: [
    { token: ' three', id: 1115, base: 0.001, now: 0.4 },
    { token: '"\\,é😀', id: 7, base: 0.5, now: 5e-324 },
  ],
});

/** @param pictures number of examples with a picture of `pictureBytes`, besides two without */
export const examplesOf = (seq: number, step = seq, pictures = 1, pictureBytes = 0): Examples => ({
  ...{ type: 'examples', seq, step, wallTimeMs: 1_700_000_000_000 + seq, task: 'counting' },
  examples: [
    { exampleId: 'bare', prompt: '' },
    {
      ...{ exampleId: 'whole', prompt: 'how many "cubes",\n\\ é😀 ?', expected: '三', base: { answer: 'red' } },
      now: { answer: '', right: false },
    },
    ...Array.from({ length: pictures }, (_, i) => ({
      ...{ exampleId: `picture ${i}`, prompt: 'how many ?', picture: aPicture(pictureBytes) },
    })),
  ],
});
/** An event of nearly 2 MB. */
export const largeExamples = (seq: number, step = seq): Examples => examplesOf(seq, step, 22, 65_000);
