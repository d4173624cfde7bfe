import { Decoder, Encoder } from 'socket.io-parser';

const oddNumber = /-?\b(?:NaN|Infinity)\b/g;

/**
 * JSON with the bare words `NaN`, `Infinity` and `-Infinity`, as Python's `json` writes them, put in quotes. Goes over the
 * text once, whatever is in it: whoever sends it has not shown the token yet.
 */
export function withQuotedNumbers(text: string): string {
  if (!/NaN|Infinity/.test(text)) return text;
  const parts: string[] = [];
  for (let at = 0; at < text.length;) {
    const opening = text.indexOf('"', at);
    const bare = text.slice(at, opening < 0 ? text.length : opening);
    parts.push(bare.replace(oddNumber, '"$&"'));
    if (opening < 0) break;
    at = endOfText(text, opening);
    parts.push(text.slice(opening, at));
  }
  return parts.join('');
}

/** Where the text in quotes that begins at `opening` has ended. */
function endOfText(text: string, opening: number): number {
  for (let at = opening + 1; at < text.length; at++) {
    const character = text[at];
    if (character === '\\') at++;
    else if (character === '"') return at + 1;
  }
  return text.length;
}

/**
 * Takes what Python sends of a loss that diverged: a bare NaN is no JSON, and Socket.IO would end the connection without
 * a word. In quotes it is a number of the protocol (`WireNumber`).
 */
class TolerantDecoder extends Decoder {
  #length = 0;

  constructor(...options: ConstructorParameters<typeof Decoder>) {
    super(...options);
    this.on('decoded', ({ data }) => {
      for (const value of Array.isArray(data) ? (data as unknown[]) : [])
        if (typeof value === 'object' && value !== null) lengths.set(value, this.#length);
    });
  }

  override add(packet: unknown): void {
    this.#length = typeof packet === 'string' ? packet.length : 0;
    super.add(typeof packet === 'string' ? withQuotedNumbers(packet) : packet);
  }
}

const lengths = new WeakMap<object, number>();
/** How many characters the packet had that a message came in; 0 for a message that is no object. */
export const packetLength = (message: unknown): number =>
  typeof message === 'object' && message !== null ? (lengths.get(message) ?? 0) : 0;

/** Socket.IO's own parser, but for numbers that are not finite. */
export const tolerantParser = { Encoder, Decoder: TolerantDecoder };
