import { z } from 'zod';
import { eventBase } from './event-base.js';
import {
  maxAnswerLength,
  maxExampleIdLength,
  maxExamples,
  maxExamplesBytes,
  maxPictureBytes,
  maxProbability,
  maxShiftedTokens,
  maxTokenId,
  maxTokenLength,
  maxWordLength,
} from './limits.js';
import { cleaned } from './plain-text.js';

/*
 * Events that show what a model says: which tokens gained and lost probability, and answers to examples. They may be
 * large, so they are stored and read apart from control events, and browsers are only told that they exist.
 */

/** A task's name, or `held_out` for the prompts of all held-out tasks together. */
const name = z.string().min(1).max(maxWordLength);
const Probability = z
  .number('a probability is a number from 0 to 1')
  .min(0, 'a probability is from 0 to 1')
  .max(maxProbability, 'a probability is from 0 to 1');

/** The mean probability of one token over the answer positions of the prompts. */
export const ShiftedToken = z.object({
  /** Its text. */
  token: z.string().max(maxTokenLength, `a token has at most ${maxTokenLength} characters`),
  /** Its index in the model's vocabulary. */
  id: z.number().int().nonnegative().max(maxTokenId),
  base: Probability,
  now: Probability,
});
export type ShiftedToken = z.infer<typeof ShiftedToken>;

/** Tokens that have gained and lost probability against the base model. */
export const TokenShift = z.object({
  ...eventBase,
  type: z.literal('token_shift'),
  prompts: name,
  tokens: z.array(ShiftedToken).max(maxShiftedTokens, `at most ${maxShiftedTokens} tokens an event`),
});
export type TokenShift = z.infer<typeof TokenShift>;

/** How a file begins, in base64. */
const picture = <T extends string>(mediaType: T, beginning: string) =>
  z.object({
    mediaType: z.literal(mediaType),
    base64: z
      .string()
      .max(Math.ceil(maxPictureBytes / 3) * 4, `a picture has at most ${maxPictureBytes} bytes`)
      .regex(
        new RegExp(`^${beginning}[A-Za-z0-9+/]*={0,2}$`),
        `this is not ${mediaType} in base64 (RFC 4648, with + and /, in one line)`,
      )
      .refine(({ length }) => length % 4 === 0, 'this is no whole base64: its length is a multiple of 4'),
  });
export const Picture = z.discriminatedUnion('mediaType', [
  picture('image/png', 'iVBORw0KGgo'),
  picture('image/jpeg', '/9j/'),
  picture('image/webp', 'UklGR[A-Za-z0-9+/]{6}XRUJQ'),
]);
export type Picture = z.infer<typeof Picture>;

const text = z.string().max(maxAnswerLength, `at most ${maxAnswerLength} characters`);
const Answer = z.object({ answer: text, right: z.boolean().optional() });
export const Example = z.object({
  /** The same in every event, so that the answers can be followed over time. */
  exampleId: z.string().min(1).max(maxExampleIdLength),
  prompt: text,
  picture: Picture.optional(),
  expected: text.optional(),
  /** The base model's answer. */
  base: Answer.optional(),
  now: Answer.optional(),
});
export type Example = z.infer<typeof Example>;

/** As browsers and Node.js have it. */
declare class TextEncoder {
  encode(text: string): Uint8Array;
}
const encoder = new TextEncoder();
/** Bytes of a value as JSON in UTF-8. */
const jsonBytes = (value: unknown): number => encoder.encode(JSON.stringify(value)).length;

/** The model's answers to examples of a task, beside the base model's. */
export const Examples = z.object({
  ...eventBase,
  type: z.literal('examples'),
  task: name,
  examples: z
    .array(Example)
    .max(maxExamples, `at most ${maxExamples} examples an event`)
    .refine(
      // Counts the stored form, in which an odd character of one byte takes three.
      (examples) => jsonBytes(cleaned(examples)) <= maxExamplesBytes,
      `the examples of an event have at most ${maxExamplesBytes} bytes as JSON: send them in several events`,
    ),
});
export type Examples = z.infer<typeof Examples>;

export type LargeEvent = TokenShift | Examples;
