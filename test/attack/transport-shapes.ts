import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { firstOf, short, type Attack } from './attack.js';
import { ask, inLanes, tell, until, RawTcp } from './raw-clients.js';
import type { Victim } from './victim.js';

/* Malformed HTTP: heads, paths, upgrades, and requests that two servers would parse differently. */

const get = (path: string, ...lines: string[]): string =>
  [`GET ${path} HTTP/1.1`, 'Host: 127.0.0.1', ...lines, '', ''].join('\r\n');

export const transportShapes: Attack[] = [
  {
    name: 'http: heads of 64 kB to 10 MB, and of 5,000 fields',
    run: async ({ port }) => {
      const shapes = [
        get('/healthz', `X-Long: ${'x'.repeat(64_000)}`),
        get('/healthz', `X-Long: ${'x'.repeat(10_000_000)}`),
        get('/healthz', ...Array.from({ length: 5000 }, (_, i) => `X-${i}: 1`)),
        get(`/${'x'.repeat(100_000)}`),
        `GET /healthz HTTP/1.1\r\n${'X: y\r\n'.repeat(100_000)}`,
      ];
      for (const shape of shapes) {
        const { received, closed } = await tell(port, shape);
        if (!/^HTTP\/1\.1 (400|404|413|414|431|200)/.test(received) && !closed)
          return `a head of ${shape.length} bytes is answered ${short(received)}`;
      }
      return null;
    },
  },
  {
    name: 'http: 100,000 requests at once whose answers are not read',
    run: async ({ port }) => {
      const made = await inLanes(8, 8, async () => {
        const tcp = await RawTcp.open(port);
        tcp.stopReading();
        tcp.write(get('/api/catalog').repeat(12_500));
        return tcp;
      });
      await until(() => false, 3000);
      made.forEach((tcp) => tcp.end());
      return null;
    },
  },
  { name: 'http: paths that lead out of the dashboard and the API', run: pathTricks },
  { name: 'http: invalid upgrades', run: upgrades },
  {
    name: 'http: invalid WebSocket frames',
    run: async ({ port }) => {
      const frames = [
        Buffer.from([0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]), // 2^63 bytes are to come
        Buffer.from([0x81, 0x05, 0x68, 0x65, 0x6c, 0x6c, 0x6f]), // not masked
        Buffer.from([0xf1, 0x80, 1, 2, 3, 4]), // reserved bits
        Buffer.from([0x83, 0x80, 1, 2, 3, 4]), // an unknown opcode
        Buffer.from([0x89, 0xfe, 0x10, 0x00, 1, 2, 3, 4]), // a ping of 4096 bytes
        Buffer.from([0x80, 0x80, 1, 2, 3, 4]), // a final fragment without a first
        Buffer.concat(Array.from({ length: 20_000 }, () => Buffer.from([0x01, 0x80, 1, 2, 3, 4]))), // endless fragments
        Buffer.concat(Array.from({ length: 50_000 }, () => Buffer.from([0x89, 0x80, 1, 2, 3, 4]))), // pings
        randomBytes(100_000),
      ];
      for (const frame of frames) {
        const tcp = await RawTcp.open(port);
        tcp.write(upgradeHead());
        await until(() => tcp.received.includes('\r\n\r\n') || tcp.closed, 3000);
        tcp.write(frame);
        await tcp.untilClosed(300);
        tcp.end();
      }
      return null;
    },
  },
  { name: 'http: requests that two servers parse differently', run: smuggling },
  {
    name: 'http: hosts and origins of others',
    run: async ({ port }) => {
      const hosts = [
        'evil.example',
        'evil.example:4517',
        'localhost.evil.example',
        '',
        '127.0.0.1.evil.example',
        '[::1',
      ];
      for (const host of hosts)
        for (const path of ['/api/runs', '/', '/socket.io/?EIO=4&transport=polling', '/metrics']) {
          const { received } = await tell(
            port,
            `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
            300,
          );
          if (/^HTTP\/1\.1 (200|5)/.test(received))
            return `${path} for the host "${host}" is answered ${short(received, 80)}`;
        }
      const origins = [
        'http://evil.example',
        'null',
        `http://127.0.0.1:${port + 1}`,
        'file://',
        `https://127.0.0.1:${port}@x`,
      ];
      for (const origin of origins)
        for (const path of ['/api/runs', '/socket.io/?EIO=4&transport=polling']) {
          const { status } = await ask(port, path, { headers: { origin } });
          if (status === 200 || status >= 500) return `${path} for pages of ${origin} is answered ${status}`;
        }
      return null;
    },
  },
  {
    name: 'http: unreadable bodies',
    run: async ({ port }) => {
      const json = { 'content-type': 'application/json' };
      const bodies: [string | Buffer, Record<string, string>][] = [
        ['{', json],
        ['['.repeat(100_000), json],
        [`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`, json],
        [randomBytes(1000), json],
        [randomBytes(1000), { ...json, 'content-encoding': 'gzip' }],
        ['{}', { ...json, 'content-encoding': 'no-such' }],
        ['{}', { 'content-type': 'application/json; charset=no-such' }],
        [`{"token":"${'x'.repeat(1_000_000)}"}`, json],
        ['{"token":{"__proto__":{"x":1}}}', json],
        ['token=1', { 'content-type': 'application/x-www-form-urlencoded' }],
      ];
      for (const [body, headers] of bodies) {
        const answer = await ask(port, '/api/session', { method: 'POST', body, headers });
        const fault = refusalFault(answer.status, answer.body);
        if (fault) return `a body of ${short(body.toString('latin1'), 30)} ${fault}`;
      }
      return null;
    },
  },
];

/** The fault of a refusal, which must have a status of 4xx, a code and a message. */
export function refusalFault(status: number, body: string): string | null {
  if (status === 0) return null; // The connection was closed.
  if (status < 400 || (status >= 500 && status !== 503)) return `is answered ${status} ${short(body, 80)}`;
  if (body.includes('"internal"')) return 'is answered "internal"';
  if (!/"code":"\w+","message":"[^"]/.test(body))
    return `is answered ${status} without a code and a message: ${short(body, 80)}`;
  return null;
}

async function pathTricks({ port, token, hub }: Victim): Promise<string | null> {
  const secrets = [
    token,
    'root:x:0:0',
    (await readFile(join(hub.dataDir, 'hub.json'), 'utf8').catch(() => '\0')).trim(),
  ];
  const up = ['../', '..%2f', '%2e%2e/', '%2e%2e%2f', '..\\', '..%5c', '....//', '%252e%252e%252f', '..%00/', '.%2e/'];
  const ends = ['etc/passwd', 'trainer-token', 'plumbline.duckdb', '.git/config', 'package.json'];
  const odd = [
    '/%',
    '/%zz',
    '/\0',
    '/%00',
    '//evil.example/',
    '/\\evil',
    'http://127.0.0.1/api/runs',
    '*',
    '/api/runs/%2e%2e/x',
  ];
  const ids = [
    '__proto__',
    'constructor',
    '%F0%9F%98%80',
    "a'b",
    'x'.repeat(5000),
    '%0d%0aX-Injected:1',
    '..%2f..%2fetc',
    ';',
    '*',
  ];
  const paths = [
    ...up.flatMap((step) => ends.map((end) => `/${step.repeat(8)}${end}`)),
    ...up.flatMap((step) => ends.map((end) => `/_next/static/${step.repeat(8)}${end}`)),
    ...odd,
    ...ids.flatMap((id) =>
      ['', '/history', '/windows', '/export', '/checkpoints'].map((end) => `/api/runs/${id}${end}`),
    ),
  ];
  for (const path of paths) {
    const { received } = await tell(port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`, 3000);
    const secret = secrets.find((one) => one.length > 4 && received.includes(one));
    const isBroken = /^HTTP\/1\.1 5/.test(received) && !received.includes('The dashboard is not built');
    const fault = firstOf(
      secret && `${short(path)} gives away what is not meant for anybody`,
      isBroken && `${short(path)} is answered ${short(received, 60)}`,
      /^X-Injected/im.test(received) && `${short(path)} writes a header of its own`,
    );
    if (fault) return fault;
  }
  return null;
}

const upgradeHead = (path = '/socket.io/?EIO=4&transport=websocket', ...lines: string[]): string =>
  get(
    path,
    ...['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'],
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    ...lines,
  );

async function upgrades({ port }: Victim): Promise<string | null> {
  const heads = [
    get('/', 'Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAAQAAP__'),
    get('/api/runs', 'Upgrade: websocket', 'Connection: Upgrade'),
    get('/socket.io/?EIO=4&transport=websocket', 'Upgrade: websocket', 'Connection: Upgrade'),
    get('/socket.io/?EIO=4&transport=websocket', 'Upgrade: TLS/1.0', 'Connection: Upgrade'),
    upgradeHead('/'),
    upgradeHead('/api/runs'),
    upgradeHead('/socket.io/?EIO=4&transport=websocket&sid=none'),
    upgradeHead('/socket.io/?EIO=4&transport=polling'),
    upgradeHead('/socket.io/?EIO=9&transport=websocket'),
    upgradeHead('/socket.io/?EIO=4&transport=webtransport'),
    upgradeHead('/socket.io/?EIO=4&transport=constructor'),
    upgradeHead(undefined, 'Origin: http://evil.example'),
    upgradeHead(undefined, 'Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8'),
    upgradeHead(undefined, `Sec-WebSocket-Protocol: ${'a,'.repeat(5000)}`),
  ];
  const opened = await inLanes(heads.length * 40, 20, async (i) => {
    const tcp = await tell(port, heads[i % heads.length]!, 200);
    return /^HTTP\/1\.1 5/.test(tcp.received) ? `one is answered ${short(tcp.received, 80)}` : null;
  });
  // Connections left half open after a refused upgrade would show here.
  const { status } = await ask(port, '/healthz', { from: '127.0.0.1' });
  return firstOf(...opened, status !== 200 && `/healthz is answered ${status} afterwards`);
}

/** The second request of each must not be answered: it is in the body of the first, or after an invalid request. */
async function smuggling({ port }: Victim): Promise<string | null> {
  const hidden = 'GET /api/catalog HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
  const post = (...lines: string[]): string =>
    ['POST /api/session HTTP/1.1', 'Host: 127.0.0.1', ...lines, '', ''].join('\r\n');
  const shapes = [
    post('Content-Length: 5', 'Transfer-Encoding: chunked') + `0\r\n\r\n${hidden}`,
    post('Transfer-Encoding: chunked', 'Content-Length: 5') + `0\r\n\r\n${hidden}`,
    post('Content-Length: 0', `Content-Length: ${hidden.length}`) + hidden,
    post('Content-Length: +5') + hidden,
    post('Content-Length: 0x10') + hidden,
    post('Content-Length: -1') + hidden,
    post('Content-Length : 0') + hidden,
    post('Transfer-Encoding: xchunked') + `0\r\n\r\n${hidden}`,
    post('Transfer-Encoding: chunked, identity') + `0\r\n\r\n${hidden}`,
    post('Transfer-Encoding : chunked') + `0\r\n\r\n${hidden}`,
    post('Transfer-Encoding: chunked') + `zz\r\n\r\n${hidden}`,
    post('Transfer-Encoding: chunked') + `-1\r\n\r\n${hidden}`,
    post('Transfer-Encoding: chunked') + `ffffffffffffffff1\r\n${hidden}`,
    `GET /healthz HTTP/1.1\nHost: 127.0.0.1\n\n${hidden}`,
    `GET /healthz HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n${hidden}`,
    `GET /healthz\r\n\r\n${hidden}`,
    `\0GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n${hidden}`,
  ];
  for (const shape of shapes) {
    const { received } = await tell(port, shape, 300);
    if (received.includes('"tasks"')) return `the request hidden in ${short(shape, 120)} is answered`;
  }
  return null;
}
