import { randomBytes } from 'node:crypto';
import { createConnection } from 'node:net';
import { eventually } from './eventually.js';

/** A WebSocket whose reading can be stopped, as a browser's does when its page hangs. */
export async function rawDashboard(url: string) {
  const { host, hostname, port } = new URL(url);
  const socket = createConnection(Number(port), hostname);
  let received = '';
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
  const send = (text: string) => {
    const payload = Buffer.from(text);
    const mask = randomBytes(4);
    const masked = payload.map((byte, i) => byte ^ mask[i % 4]!);
    socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, masked]));
  };
  socket.write(
    `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  const text = () => received;
  await eventually(() => (text().includes('pingInterval') ? true : null));
  send('40/dashboard,');
  await eventually(() => (text().includes('40/dashboard,{') ? true : null));
  return { socket, send, text };
}
