import { Decoder, Encoder } from 'socket.io-parser';

/** A text in quotes, or a number that JSON has no word for. Quoted texts are matched to be passed over. */
const textOrOddNumber = /"[^"\\]*(?:\\[^][^"\\]*)*"|-?\b(?:NaN|Infinity)\b/g;

/** JSON with the bare words `NaN`, `Infinity` and `-Infinity`, as Python's `json` writes them, put in quotes. */
export const withQuotedNumbers = (text: string): string =>
  /NaN|Infinity/.test(text)
    ? text.replace(textOrOddNumber, (word) => (word.startsWith('"') ? word : `"${word}"`))
    : text;

/**
 * Takes what Python sends of a loss that diverged: a bare NaN is no JSON, and Socket.IO would end the connection without
 * a word. In quotes it is a number of the protocol (`WireNumber`).
 */
class TolerantDecoder extends Decoder {
  override add(packet: unknown): void {
    super.add(typeof packet === 'string' ? withQuotedNumbers(packet) : packet);
  }
}

/** Socket.IO's own parser, but for numbers that are not finite. */
export const tolerantParser = { Encoder, Decoder: TolerantDecoder };
