import type { Examples, LargeEvent, TokenShift } from './large-event.js';

export const largeEventTypes = ['token_shift', 'examples'] as const satisfies readonly LargeEvent['type'][];

export const isLargeEvent = <E extends { type: string }>(event: E): event is Extract<E, { type: LargeEvent['type'] }> =>
  (largeEventTypes as readonly string[]).includes(event.type);

/** The live notice of a large event for browsers; `count` counts its tokens or examples. */
export type LargeEventNotice = (Omit<TokenShift, 'tokens'> | Omit<Examples, 'examples'>) & { count: number };

export function noticeOf(event: LargeEvent): LargeEventNotice {
  if (event.type === 'token_shift') {
    const { tokens, ...rest } = event;
    return { ...rest, count: tokens.length };
  }
  const { examples, ...rest } = event;
  return { ...rest, count: examples.length };
}

/** Estimates the length of an event as JSON, without serializing it. */
export function aboutLength(event: LargeEvent): number {
  if (event.type === 'token_shift') return event.tokens.reduce((sum, { token }) => sum + 80 + token.length, 100);
  return event.examples.reduce((sum, { prompt, picture, expected, base, now }) => {
    const texts = [prompt, picture?.base64, expected, base?.answer, now?.answer];
    return texts.reduce((length, text) => length + (text?.length ?? 0), sum + 150);
  }, 100);
}
