import { describe, expect, it } from 'vitest';
import { Examples, Picture, TokenShift } from './large-event.js';
import { isLargeEvent, noticeOf } from './large-event-notice.js';
import { maxExamplesBytes, maxPictureBytes } from './limits.js';
import { cleaned } from './plain-text.js';
import { isControlEvent, TrainerEvent } from './trainer-event.js';

/** As long as a PNG of so many bytes. */
const aPicture = (bytes: number) => ({
  mediaType: 'image/png' as const,
  base64: `iVBORw0KGgo${'A'.repeat(4 * Math.ceil(bytes / 3) - 11)}`,
});
const base = { seq: 3, step: 2, wallTimeMs: 1_700_000_000_003 };
const tokenShift: TokenShift = {
  ...{ ...base, type: 'token_shift', prompts: 'held_out' },
  tokens: [{ token: ' three', id: 1115, base: 0.001, now: 0.4 }],
};
const examplesOf = (count: number, pictureBytes = 12): Examples => ({
  ...{ ...base, type: 'examples', task: 'counting' },
  examples: Array.from({ length: count }, (_, i) => ({
    ...{ exampleId: `${i}`, prompt: 'how many ?', picture: aPicture(pictureBytes) },
  })),
});

const fault = (
  schema: { safeParse: (value: unknown) => { error?: { issues: { message: string }[] } } },
  value: unknown,
) => schema.safeParse(value).error?.issues[0]?.message;

describe('a picture', () => {
  const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 0]).toString('base64');
  const webp = Buffer.from('RIFF\x24\x00\x00\x00WEBPVP8 ').toString('base64');

  it('is PNG, JPEG or WebP and begins as such', () => {
    expect(fault(Picture, aPicture(12))).toBeUndefined();
    expect(fault(Picture, { mediaType: 'image/jpeg', base64: jpeg })).toBeUndefined();
    expect(fault(Picture, { mediaType: 'image/webp', base64: webp })).toBeUndefined();
    expect(fault(Picture, { mediaType: 'image/jpeg', base64: webp })).toMatch(/not image\/jpeg in base64/);
    expect(fault(Picture, { mediaType: 'image/svg+xml', base64: btoa('<svg/>') })).toBeDefined();
    expect(fault(Picture, { mediaType: 'image/png', base64: btoa('<script>') })).toMatch(/not image\/png/);
  });

  it('is whole base64 of one alphabet, and not too large', () => {
    const { mediaType, base64 } = aPicture(12);
    for (const wrong of [
      base64.slice(0, -1),
      `${base64.slice(0, -4)}_-==`,
      `${base64}\n`,
      `data:image/png;base64,${base64}`,
    ])
      expect(fault(Picture, { mediaType, base64: wrong }), wrong).toMatch(/base64/);
    expect(fault(Picture, aPicture(maxPictureBytes))).toBeUndefined();
    expect(fault(Picture, aPicture(maxPictureBytes + 3))).toMatch(/at most 65536 bytes/);
  });
});

it('takes examples of nearly 2 MB, and says what to do with more', () => {
  const most = examplesOf(22, 65_000);
  expect(Buffer.byteLength(JSON.stringify(most))).toBeGreaterThan(0.95 * maxExamplesBytes);
  expect(fault(Examples, most)).toBeUndefined();
  expect(fault(Examples, examplesOf(24, 65_000))).toMatch(/2000000 bytes as JSON: send them in several events/);
  const odd = examplesOf(60, 12).examples.map((example) => ({ ...example, prompt: '\u007f'.repeat(20_000) }));
  const event = { ...examplesOf(0), examples: odd };
  expect(Buffer.byteLength(JSON.stringify(event))).toBeLessThan(maxExamplesBytes);
  expect(fault(Examples, event)).toBeDefined();
  expect(fault(Examples, cleaned(event))).toBeDefined();
  expect(fault(Examples, examplesOf(201))).toMatch(/at most 200 examples/);
});

it('takes a probability that rounding has brought above 1, and no other number', () => {
  const now = (value: unknown) => ({ ...tokenShift, tokens: [{ ...tokenShift.tokens[0]!, now: value }] });
  expect(fault(TokenShift, now(1.0000001))).toBeUndefined();
  for (const wrong of [1.1, -0.1, 'NaN', null]) expect(fault(TokenShift, now(wrong))).toMatch(/a probability is/);
});

it('are told as what they are of and how many there are', () => {
  const { tokens: _tokens, ...shift } = tokenShift;
  expect(noticeOf(tokenShift)).toEqual({ ...shift, count: 1 });
  const { examples: _, ...rest } = examplesOf(3);
  expect(noticeOf(examplesOf(3))).toEqual({ ...rest, count: 3 });
});

it('are no control events', () => {
  const types = TrainerEvent.options.map(({ shape }) => ({ type: shape.type.value }));
  expect(types.filter(isLargeEvent).map(({ type }) => type)).toEqual(['token_shift', 'examples']);
  expect(types.filter((event) => isControlEvent(event) && isLargeEvent(event))).toEqual([]);
});
