import { maxMessageBytes } from '@plumbline/shared/limits';
import { Decoder, Encoder, PacketType } from 'socket.io-parser';

/** The event that replaces an overlong message: it has only the acknowledgement. */
export const tooLarge = 'message_too_large';

const oddNumber = /-?\b(?:NaN|Infinity)\b/g;

/**
 * Quotes the bare words `NaN`, `Infinity` and `-Infinity` in JSON, as Python's `json` writes them. It runs in linear time for
 * any input: the sender has not shown the token yet.
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

/** The end of the quoted text that begins at `opening`. */
function endOfText(text: string, opening: number): number {
  for (let at = opening + 1; at < text.length; at++) {
    const character = text[at];
    if (character === '\\') at++;
    else if (character === '"') return at + 1;
  }
  return text.length;
}

/**
 * Accepts a diverged loss from Python: a bare NaN is not JSON, and Socket.IO would close the connection without a reason. A
 * quoted one is a `WireNumber` of the protocol.
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

  /** Reads only namespace and id of an overlong packet, so that its sender gets an answer. */
  #tellTooLarge(packet: string): void {
    const [, nsp = '/', id = ''] = /^2(?:(\/[^,]{0,100}),)?(\d{0,15})\[/.exec(packet.slice(0, 200)) ?? [];
    if (id === '') throw new Error('A message is too large, and asks for no answer.');
    this.emitReserved('decoded', { type: PacketType.EVENT, nsp, id: Number(id), data: [tooLarge] });
  }
}

const lengths = new WeakMap<object, number>();
/** The number of characters in the packet of a message; 0 if the message is not an object. */
export const packetLength = (message: unknown): number =>
  typeof message === 'object' && message !== null ? (lengths.get(message) ?? 0) : 0;

/** Socket.IO's parser, extended for numbers that are not finite and for overlong messages. */
export const tolerantParser = { Encoder, Decoder: TolerantDecoder };
