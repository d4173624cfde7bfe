import { maxMessageBytes } from '@plumbline/shared/limits';
import { Decoder, Encoder, PacketType } from 'socket.io-parser';

/** The event in the place of one whose message is too large: it has nothing but the acknowledgement. */
export const tooLarge = 'message_too_large';

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
    if (typeof packet === 'string' && packet.length > maxMessageBytes) return this.#tellTooLarge(packet);
    this.#length = typeof packet === 'string' ? packet.length : 0;
    super.add(typeof packet === 'string' ? withQuotedNumbers(packet) : packet);
  }

  /** So that its sender is answered: only namespace and number are read of it. */
  #tellTooLarge(packet: string): void {
    const [, nsp = '/', id = ''] = /^2(?:(\/[^,]{0,100}),)?(\d{0,15})\[/.exec(packet.slice(0, 200)) ?? [];
    if (id === '') throw new Error('A message is too large, and asks for no answer.');
    this.emitReserved('decoded', { type: PacketType.EVENT, nsp, id: Number(id), data: [tooLarge] });
  }
}

const lengths = new WeakMap<object, number>();
/** How many characters the packet had that a message came in; 0 for a message that is no object. */
export const packetLength = (message: unknown): number =>
  typeof message === 'object' && message !== null ? (lengths.get(message) ?? 0) : 0;

/** Socket.IO's own parser, but for numbers that are not finite and for messages that are too large. */
export const tolerantParser = { Encoder, Decoder: TolerantDecoder };
