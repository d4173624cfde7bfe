import { randomBytes } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';
import { eventually } from './eventually.js';

const [textFrame, binaryFrame] = [0x81, 0x82];

export interface RawWebSocket {
  socket: Socket;
  /** Sends a message in one frame; bytes as a binary frame. */
  send(message: string | Buffer): void;
  /** All received data, including the head of the answer. */
  text(): string;
  /** Resolves once the hub has closed the connection. */
  closed(): Promise<unknown>;
}

/**
 * A Socket.IO connection frame by frame, for behaviour that no correct client shows: sending anything, or not reading.
 */
export async function rawWebSocket(url: string, head = ''): Promise<RawWebSocket> {
  const { host, hostname, port } = new URL(url);
  const socket = createConnection(Number(port), hostname);
  let received = '';
  let isClosed = false;
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
  socket.on('close', () => (isClosed = true));
  // When the hub disconnects during a message, the connection is reset.
  socket.on('error', () => undefined);
  const text = () => received;
  socket.write(
    `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n${head}\r\n`,
  );
  await eventually(() => (text().includes('pingInterval') || isClosed ? true : null));
  return {
    socket,
    send: (message) => socket.write(frame(message)),
    text,
    closed: () => eventually(() => (isClosed ? true : null)),
  };
}

function frame(message: string | Buffer): Buffer {
  const payload = Buffer.from(message as string);
  const { length } = payload;
  const lengthBytes = Buffer.alloc(length < 126 ? 1 : length < 65_536 ? 3 : 9);
  lengthBytes[0] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127);
  if (lengthBytes.length > 1)
    lengthBytes.writeUIntBE(length, lengthBytes.length === 3 ? 1 : 3, lengthBytes.length === 3 ? 2 : 6);
  const mask = randomBytes(4);
  const masked = payload.map((byte, i) => byte ^ mask[i % 4]!);
  return Buffer.concat([
    Buffer.from([typeof message === 'string' ? textFrame : binaryFrame]),
    lengthBytes,
    mask,
    masked,
  ]);
}
