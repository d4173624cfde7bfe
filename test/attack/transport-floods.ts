import { firstOf, type Attack } from './attack.js';
import { ask, inLanes, Polling, RawSocket, RawTcp, separator, until } from './raw-clients.js';
import type { Victim } from './victim.js';

/*
 * Floods without credentials: joins, packets, attachments, handshakes, connections. If a flood comes from another
 * address than the owner's, the owner must not notice it.
 */

/** The size of one POST, just below Socket.IO's limit of 8 MiB. */
const payloadBytes = 8_000_000;
const wrongAuth = JSON.stringify({ token: 'x'.repeat(43), protocol: 1 });

/** A body of repeated packets. */
const repeated = (packets: readonly string[], bytes = payloadBytes): string => {
  const unit = packets.join(separator) + separator;
  return unit.repeat(Math.floor(bytes / unit.length)).slice(0, -1);
};

/** Joins by polling, two bodies at once, then as many joins over 20 WebSockets. */
const joins = (what: string, ...packets: string[]): Attack[] => [
  {
    name: `transport: a POST of 8 MB of ${what}`,
    run: async ({ port }) => {
      const polling = await Polling.open(port);
      if (!(polling instanceof Polling)) return 'an honest handshake is refused';
      await polling.post(repeated(packets), 30_000);
      return null;
    },
  },
  {
    name: `transport: 20 WebSockets with 57 kB of ${what}`,
    run: async ({ port }) => {
      const sockets = await inLanes(20, 20, () => RawSocket.open(port));
      for (const socket of sockets)
        for (let bytes = 0; bytes < 57_000;) {
          for (const packet of packets) {
            socket.send(packet);
            bytes += packet.length + 6;
          }
        }
      await until(() => sockets.every(({ closed }) => closed !== null), 3000);
      const joined = sockets.flatMap(({ packets: got }) => got.filter((packet) => packet.startsWith('40'))).length;
      const open = sockets.filter(({ closed }) => closed === null).length;
      sockets.forEach((socket) => socket.close());
      return joined > 20 ? `${joined} joins were answered on 20 connections, ${open} of which stayed` : null;
    },
  },
];

export const transportFloods: Attack[] = [
  {
    name: 'transport: a join of /, which has no handler',
    run: async ({ port }) => {
      const socket = await RawSocket.open(port);
      socket.send('40');
      await until(() => socket.closed !== null || socket.packets.length > 1, 3000);
      const isIn = socket.packets.some((packet) => packet.startsWith('40'));
      socket.close();
      return isIn ? 'it is let in' : null;
    },
  },
  ...joins('joins of /', '40'),
  ...joins('joins of /dashboard', '40/dashboard,'),
  ...joins('joins of /trainer with a wrong token', `40/trainer,${wrongAuth}`),
  ...joins('joins of all namespaces in turns', '40', '40/dashboard,', `40/trainer,${wrongAuth}`, '40/admin,'),
  ...joins('joins with acknowledgement ids', '40/dashboard,12{}', '40/dashboard,13[]'),
  ...joins('joins with queries', '40/dashboard?token=1&x=y,', '40/trainer?token=1,{}'),
  {
    name: 'transport: alternating joins and leaves',
    run: async ({ port }) => {
      const polling = await Polling.open(port);
      if (polling instanceof Polling)
        await polling.post(repeated(['40/dashboard,', '41/dashboard,'], 2_000_000), 30_000);
      return null;
    },
  },
  {
    name: 'transport: 10,000 unknown namespaces',
    run: async ({ port }) => {
      const polling = await Polling.open(port);
      if (!(polling instanceof Polling)) return null;
      const packets = Array.from({ length: 10_000 }, (_, i) => `40/ns-${i}-${'n'.repeat(200)},`);
      await polling.post(packets.join(separator), 30_000);
      return null;
    },
  },
  {
    name: 'transport: unfinished binary attachments, ten of 8 MB on each of eight connections',
    run: async ({ port }) => {
      const attachment = Buffer.alloc(payloadBytes, 7);
      const head = `4510-/trainer,["events",${Array.from({ length: 10 }, (_, num) => `{"_placeholder":true,"num":${num}}`).join()}]`;
      const sockets = await inLanes(8, 8, () => RawSocket.open(port));
      for (const socket of sockets) {
        socket.send(head);
        for (let i = 0; i < 9; i++) socket.send(attachment);
      }
      await until(() => sockets.every(({ ws, closed }) => closed !== null || ws.bufferedAmount === 0), 30_000);
      sockets.forEach((socket) => socket.close());
      return null;
    },
  },
  {
    name: 'transport: an attachment announced a thousand times and never sent',
    run: async ({ port }) => {
      const polling = await Polling.open(port);
      if (!(polling instanceof Polling)) return null;
      await polling.post(repeated(['451-["x",{"_placeholder":true,"num":0}]'], 1_000_000));
      await polling.post(repeated(['45999999999-["x",{"_placeholder":true,"num":0}]'], 10_000));
      return null;
    },
  },
  {
    name: 'transport: binary frames before anybody has joined',
    run: async ({ port }) => {
      const sockets = await inLanes(8, 8, () => RawSocket.open(port));
      for (const socket of sockets) for (let i = 0; i < 200; i++) socket.send(Buffer.alloc(100_000, i));
      await until(() => sockets.every(({ closed }) => closed !== null), 5000);
      const open = sockets.filter(({ closed }) => closed === null).length;
      sockets.forEach((socket) => socket.close());
      return open > 0 ? `${open} connections stay after 20 MB of binary frames without a join` : null;
    },
  },
  {
    name: 'transport: messages of 8 MB before authentication',
    run: async ({ port }) => {
      const sockets = await inLanes(16, 16, () => RawSocket.open(port));
      const message = `42/trainer,["attach","${'x'.repeat(payloadBytes - 100)}"]`;
      for (const socket of sockets) for (let i = 0; i < 4; i++) socket.send(message);
      await until(() => sockets.every(({ closed }) => closed !== null), 10_000);
      const open = sockets.filter(({ closed }) => closed === null).length;
      sockets.forEach((socket) => socket.close());
      return open > 0 ? `${open} connections may send 32 MB before they show who they are` : null;
    },
  },
  {
    name: 'transport: a token of 8 MB',
    run: async ({ port }) => {
      const sockets = await inLanes(8, 8, () => RawSocket.open(port));
      for (const socket of sockets)
        socket.send(`40/trainer,{"token":"${'x'.repeat(payloadBytes - 100)}","protocol":1}`);
      await until(() => sockets.every(({ closed, packets }) => closed !== null || packets.length > 1), 10_000);
      sockets.forEach((socket) => socket.close());
      return null;
    },
  },
  {
    name: 'transport: 200,000 packets to namespaces that were not joined',
    run: async ({ port }) => {
      const polling = await Polling.open(port);
      if (!(polling instanceof Polling)) return null;
      await polling.post(
        repeated(['42/dashboard,["watch",{"runId":"honest"}]', '42["x"]', '43/trainer,1[]'], 4_000_000),
      );
      return null;
    },
  },
  {
    name: 'transport: pings, noops and unknown packets by the hundred thousand',
    run: async ({ port }) => {
      for (const packet of ['3', '6', '2', '2probe', '5', '4', '49', '7', '4{}', '']) {
        const polling = await Polling.open(port);
        if (polling instanceof Polling) await polling.post(repeated([packet], 200_000));
      }
      return null;
    },
  },
  {
    name: 'transport: 5,000 unused handshakes by polling',
    run: async ({ port }) => {
      const made = await inLanes(5000, 50, () => Polling.open(port));
      const opened = made.filter((one) => one instanceof Polling).length;
      return opened === 5000 ? 'all 5,000 were taken: nothing limits them' : null;
    },
  },
  {
    name: 'transport: 2,000 WebSockets that join nothing',
    run: async ({ port }) => {
      const sockets = await inLanes(2000, 100, () => RawSocket.open(port));
      const open = sockets.filter(({ closed }) => closed === null).length;
      const locked = await isLockedOut(port);
      sockets.forEach((socket) => socket.close());
      return firstOf(locked, open === 2000 && 'all 2,000 stay open: nothing limits them');
    },
  },
  {
    name: 'transport: 5,000 connections from one address',
    run: async ({ port }) => {
      const made = await inLanes(5000, 200, () => RawTcp.open(port));
      await until(() => false, 1000);
      const open = made.filter(({ closed }) => !closed).length;
      const locked = await isLockedOut(port);
      made.forEach((tcp) => tcp.end());
      return firstOf(locked, open === 5000 && 'all 5,000 stay open: nothing limits them');
    },
  },
  {
    name: 'transport: POSTs to the Socket.IO path by the thousand',
    run: async ({ port }) => {
      const tricks = [
        '?EIO=4&transport=polling',
        '?EIO=4&transport=polling&sid=none',
        '?EIO=3&transport=polling',
        '?x',
        '',
      ];
      const answers = await inLanes(10_000, 50, (i) =>
        ask(port, `/socket.io/${tricks[i % tricks.length]!}`, {
          method: i % 7 === 0 ? 'PUT' : 'POST',
          body: '40',
        }),
      );
      const broken = answers.find(({ status }) => status >= 500);
      return broken ? `one was answered ${broken.status} ${broken.body.slice(0, 100)}` : null;
    },
  },
  {
    name: 'transport: two polls and two POSTs at once on one connection, and invalid upgrades',
    run: async ({ port }) => {
      await inLanes(100, 20, async () => {
        const polling = await Polling.open(port);
        if (!(polling instanceof Polling)) return;
        await Promise.all([
          polling.poll(500),
          polling.poll(500),
          polling.post('40'),
          polling.post('1'),
          polling.post('5'),
        ]);
      });
      return null;
    },
  },
  {
    name: 'transport: connections that say nothing, or half a request, are closed',
    run: ({ port }) => closesSilentOnes(port),
  },
];

/** Whether an honest client of another address is locked out while the attacker's connections are open. */
async function isLockedOut(port: number): Promise<string | null> {
  const { status } = await ask(port, '/api/runs', { from: '127.0.0.1' });
  return status === 200 ? null : `another address is answered ${status} while they stand`;
}

async function closesSilentOnes(port: Victim['port']): Promise<string | null> {
  const head = 'POST /api/session HTTP/1.1\r\nHost: 127.0.0.1\r\n';
  const kinds: Record<string, string> = {
    'that say nothing': '',
    'with half a head': head,
    'with half a body': `${head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    'of Engine.IO with half a payload': `POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n4`,
  };
  const made = await Promise.all(
    Object.entries(kinds).map(async ([kind, bytes]) => ({
      kind,
      connections: await inLanes(50, 10, async () => {
        const tcp = await RawTcp.open(port);
        if (bytes !== '') tcp.write(bytes);
        return tcp;
      }),
    })),
  );
  const isOpen = ({ closed }: RawTcp): boolean => !closed;
  await until(() => !made.some(({ connections }) => connections.some(isOpen)), 120_000);
  const left = made.filter(({ connections }) => connections.some(isOpen));
  for (const { connections } of made) connections.forEach((tcp) => tcp.end());
  return left.length === 0
    ? null
    : `connections ${left.map(({ kind }) => kind).join(' and ')} are open after two minutes`;
}
