import { createConnection } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { io } from 'socket.io-client';
import { protocolVersion } from '@plumbline/shared/socket';
import { PollingClient } from '../../test/support/polling-client.js';
import { rawDashboard } from '../../test/support/raw-dashboard.js';
import { rawWebSocket } from '../../test/support/raw-websocket.js';
import { aRunId, attachment, eventually, TestHub } from '../../test/support/test-hub.js';
import { handshakeBudgets, standingLimits } from '../access/limits.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());

const connectedDashboards = async (): Promise<number> => {
  const metrics = await (await fetch(`${hub.url}/metrics`)).text();
  return Number(/^plumbline_dashboards_connected (\d+)/m.exec(metrics)![1]);
};
const withoutDashboards = () => eventually(async () => ((await connectedDashboards()) === 0 ? true : null));
const tooLong = 'x'.repeat(standingLimits.arriving.messageBytes + 1);

describe('joins', () => {
  it('of one namespace end the connection at the second', async () => {
    for (const join of ['40/dashboard,', '40', '40/trainer,{"token":"wrong","protocol":1}']) {
      const socket = await rawWebSocket(hub.url);
      socket.send(join);
      socket.send(join);
      await socket.closed();
    }
    await withoutDashboards();
  });

  it('end the connection at the third namespace, whatever its name', async () => {
    const socket = await rawWebSocket(hub.url);
    for (const name of ['/a', '/dashboard?x', '/b']) socket.send(`40${name},`);
    await socket.closed();
    expect(socket.text()).toContain('44/a,{"message":"Invalid namespace"}');
    expect(socket.text()).toContain('44/dashboard?x,{"message":"Invalid namespace"}');
  });

  it('of the default namespace are refused with where to go', async () => {
    const client = io(hub.url, { transports: ['websocket'], forceNew: true });
    const error = await new Promise<Error>((resolve) => client.once('connect_error', resolve));
    client.disconnect();
    expect(error.message).toBe('There is nothing in this namespace. Join /trainer or /dashboard.');
  });

  it('that come in one polling body end the connection, and one socket is made', async () => {
    const client = await PollingClient.open(hub.url);
    await client.post(Array<string>(40).fill('40/dashboard,'));
    expect(await client.poll()).toContain('Session ID unknown');
    await withoutDashboards();
  });

  it('in a body of too many packets are refused with a reason', async () => {
    const client = await PollingClient.open(hub.url);
    const answer = await client.post(Array<string>(60).fill('40/dashboard,'));
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { message: expect.stringContaining('at most 50 packets') },
    ]);
    expect(await client.poll()).toContain('Session ID unknown');
  });
});

describe('what a connection may send', () => {
  it.each([
    ['a binary event', ['451-/dashboard,["x",{"_placeholder":true,"num":0}]']],
    ['a binary acknowledgement', ['461-/dashboard,1[{"_placeholder":true,"num":0}]']],
    ['a binary frame', [Buffer.from('x')]],
    ['a message that is too long', [`42/dashboard,["watch","${tooLong}"]`]],
  ])('is not %s', async (_, messages) => {
    const socket = await rawDashboard(hub.url);
    for (const message of messages) socket.send(message);
    await socket.closed();
  });

  it.each([
    ['a binary packet', 'bAAAA'],
    ['a binary event', '451-/dashboard,["x",{"_placeholder":true,"num":0}]'],
  ])('is not %s by polling', async (_, packet) => {
    const client = await PollingClient.open(hub.url);
    await client.post(['40/dashboard,']);
    await client.post([packet]);
    expect(await client.poll()).toContain('Session ID unknown');
  });

  it('is no message without an end: it is cut off long before the limit of trainers', async () => {
    const socket = await rawWebSocket(hub.url);
    // The head of a frame of 32 MiB, and then its bytes.
    socket.socket.write(Buffer.from([0x81, 0xff, 0, 0, 0, 0, 2, 0, 0, 0, 1, 2, 3, 4]));
    let sent = 0;
    const timer = setInterval(() => {
      sent += 16_384;
      socket.socket.write(Buffer.alloc(16_384));
    }, 5);
    await socket.closed();
    clearInterval(timer);
    expect(sent).toBeLessThan(4 * 1024 * 1024);
  });

  it('is no flood of packets', async () => {
    const socket = await rawDashboard(hub.url);
    for (let i = 0; i < 1000; i++) socket.send('42/dashboard,["unwatch",{}]');
    await socket.closed();
  });

  it('is no flood of pings: a few are answered', async () => {
    const ping = Buffer.from([0x89, 0x81, 1, 2, 3, 4, 0x40]);
    const pongs = (text: string): number => text.split('\x8a\x01A').length - 1;
    const polite = await rawWebSocket(hub.url);
    polite.socket.write(Buffer.concat([ping, ping, ping]));
    await eventually(() => (pongs(polite.text()) === 3 ? true : null));
    const flood = await rawWebSocket(hub.url);
    flood.socket.write(Buffer.concat(Array.from({ length: 50_000 }, () => ping)));
    await flood.closed();
    expect(pongs(flood.text())).toBeLessThan(50);
    polite.socket.destroy();
  });

  it('is as much as 32 MiB once the token was accepted, by polling too', async () => {
    const trainer = io(`${hub.url}/trainer`, {
      auth: { token: hub.token, protocol: protocolVersion },
      forceNew: true,
      transports: ['polling'],
    });
    const send = trainer as unknown as { emitWithAck(event: string, message: unknown): Promise<unknown> };
    await send.emitWithAck('attach', attachment(aRunId()));
    const events = { events: 'x'.repeat(31 * 1024 * 1024) };
    expect(await send.emitWithAck('events', events)).toMatchObject({ ok: false, error: { code: 'invalid' } });
    trainer.disconnect();
  });

  it('is as much by a connection that began with polling and became a WebSocket', async () => {
    const trainer = io(`${hub.url}/trainer`, { auth: { token: hub.token, protocol: protocolVersion }, forceNew: true });
    await new Promise<void>((resolve) => trainer.io.engine.once('upgrade', () => resolve()));
    const send = trainer as unknown as { emitWithAck(event: string, message: unknown): Promise<unknown> };
    await send.emitWithAck('attach', attachment(aRunId()));
    const events = { events: 'x'.repeat(31 * 1024 * 1024) };
    expect(await send.emitWithAck('events', events)).toMatchObject({ ok: false, error: { code: 'invalid' } });
    trainer.disconnect();
  });
});

describe('connections that join nothing', () => {
  it('make room for those that do: the oldest goes', async () => {
    const { perCaller } = standingLimits.arriving;
    const clients: PollingClient[] = [];
    for (let i = 0; i <= perCaller; i++) clients.push(await PollingClient.open(hub.url));
    expect(await clients[0]!.poll()).toContain('Session ID unknown');
    expect(await clients.at(-1)!.poll()).toBe('2');
    const trainer = hub.trainer();
    expect(await trainer.emitWithAck('attach', attachment(aRunId()))).toMatchObject({ ok: true });
  });
});

describe('someone who opens all connections of an address', () => {
  it('keeps out neither a session nor a trainer that shows the token', async () => {
    const other = await TestHub.start();
    try {
      const cookie = await other.cookie();
      const sockets = [];
      for (let i = 0; i < standingLimits.watching.perCaller; i++) {
        const socket = await rawWebSocket(other.url);
        socket.send('40/dashboard,');
        sockets.push(socket);
      }
      const refused = other.dashboard();
      const error = await new Promise<Error>((resolve) => refused.once('connect_error', resolve));
      refused.disconnect();
      expect(error.message).toMatch(/^Too many connections are open/);
      // Nor is one more connection of the address made for a while.
      for (let i = 0; i < 2 * handshakeBudgets.address.burst; i++)
        if ((await fetch(`${other.url}/socket.io/?EIO=4&transport=polling`)).status === 403) break;
      const mine = other.dashboard(cookie);
      await new Promise<void>((resolve) => mine.once('connect', () => resolve()));
      expect(await other.trainer().emitWithAck('attach', attachment(aRunId()))).toMatchObject({ ok: true });
      for (const { socket } of sockets) socket.destroy();
    } finally {
      await other.remove();
    }
  });
});

it('an upgrade to anything but Socket.IO is answered and closed', async () => {
  const { hostname, port } = new URL(hub.url);
  const socket = createConnection({ host: hostname, port: Number(port), allowHalfOpen: true });
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.write('GET /elsewhere HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
  await new Promise((resolve) => socket.once('end', resolve));
  expect(text).toMatch(/^HTTP\/1.1 404 /);
  // A connection that the hub had only half closed would take this for ever.
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const timer = setInterval(() => socket.write('x'), 50);
  socket.on('error', () => undefined);
  await closed;
  clearInterval(timer);
});
