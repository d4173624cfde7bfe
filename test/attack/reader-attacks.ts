import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RunId } from '@plumbline/shared/run';
import { firstOf, short, type Attack } from './attack.js';
import { BusyTrainer } from './busy-trainer.js';
import { HostileTrainer } from './hostile-trainer.js';
import { ask, inLanes, RawTcp, until, type HttpAnswer } from './raw-clients.js';
import { refusalFault } from './transport-shapes.js';
import type { Victim } from './victim.js';

/*
 * Readers of runs with millions of values, a long log or a large model: many at once, some that never read, some that disconnect, some
 * with invalid queries.
 */

const readerLimitMs = 240_000;
/** The longest time that a client that does not read may stay. */
const unreadLimitMs = 90_000;
/** What three slow readers read of a large history in a second; then each asks again. */
const slowBytesPerSecond = [8000, 8000, 0];
const askAgainMs = 25_000;
/** What a trainer adds to the write-ahead log beside them, at least. */
const besideSlowReaders = { bytes: 24 * 2 ** 20, ms: 60_000 };

const read = ({ port }: Victim, path: string): Promise<HttpAnswer> =>
  ask(port, `/api${path}`, { timeoutMs: readerLimitMs });

/** `count` readers at once; each must be answered or refused with a reason. */
const atOnce = (what: string, count: number, path: (victim: Victim) => string): Attack => ({
  name: `readers: ${count} ${what} at once of millions of values`,
  run: async (victim) => {
    const answers = await inLanes(count, count, () => read(victim, path(victim)));
    const faults = answers.map(({ status, body }) =>
      status === 200 ? null : status === 0 ? `one got no answer (${short(body)})` : refusalFault(status, body),
    );
    const none = answers.every(({ status }) => status !== 200);
    const refusals = [...new Set(answers.map(({ status, body }) => `${status} ${short(body, 120)}`))];
    return firstOf(...faults, none && !isTooLarge(answers[0]!) && `none was answered: ${refusals.join('; ')}`);
  },
});

/** All of one kind may be refused if the query itself asks for too much. */
const isTooLarge = ({ status }: HttpAnswer): boolean => status === 400 || status === 413;

/** The resources of a run other than its series. */
const logResources = [
  ...['series', 'findings', 'evaluations', 'events', 'commands', 'rules', 'checkpoints', 'export'],
  ...['token-shifts?newest=200', 'examples?newest=200'],
];

const ofLongLog = (resource: string): Attack => ({
  ...atOnce(resource, 4, ({ longLog }) => `/runs/${longLog}/${resource}`),
  name: `readers: 4 ${resource.split('?')[0]} at once of a long log`,
});

/** What reads the description of a run's model, or a series a tensor. */
const modelResources = ['export', 'events', 'series', 'findings', 'checkpoints', 'rules', 'latest?metric=*'];

const ofLargeModel = (resource: string): Attack => ({
  ...atOnce(resource, 4, ({ largeModel }) => `/runs/${largeModel}/${resource}`),
  name: `readers: 4 ${resource.split('?')[0]} at once of 50,000 tensors`,
});

const runListAttack: Attack = {
  ...atOnce('lists', 16, () => '/runs?limit=1000&sort=value:train/loss'),
  name: 'readers: 16 lists of all runs at once',
};

export const readerAttacks: Attack[] = [
  atOnce('windows of one step', 16, ({ bigRun }) => `/runs/${bigRun}/windows?everySteps=1`),
  atOnce('windows of ten steps', 16, ({ bigRun }) => `/runs/${bigRun}/windows?everySteps=10`),
  atOnce('histories of 100,000 points a series', 16, ({ bigRun }) => `/runs/${bigRun}/history?maxPoints=100000`),
  atOnce('histories as a page asks', 24, ({ bigRun }) => `/runs/${bigRun}/history?maxPoints=4000`),
  atOnce('comparisons of twenty', 16, ({ bigRun }) => `/compare?${`run=${bigRun}&`.repeat(20)}`),
  atOnce('findings', 16, ({ bigRun }) => `/runs/${bigRun}/findings`),
  atOnce('exports', 4, ({ bigRun }) => `/runs/${bigRun}/export`),
  atOnce('lists of series', 16, ({ bigRun }) => `/runs/${bigRun}/series`),
  atOnce('last values of all series', 16, ({ bigRun }) => `/runs/${bigRun}/latest?metric=*`),
  runListAttack,
  ...logResources.map(ofLongLog),
  ...modelResources.map(ofLargeModel),
  {
    name: 'readers: forty that ask and never read',
    run: async ({ port, bigRun }) => {
      const paths = ['history?maxPoints=100000', 'windows?everySteps=10', 'export', 'history?maxPoints=4000'];
      const readers = await inLanes(40, 40, async (i) => {
        const tcp = await RawTcp.open(port);
        tcp.stopReading();
        tcp.write(`GET /api/runs/${bigRun}/${paths[i % paths.length]} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
        return tcp;
      });
      await sleep(20_000);
      readers.forEach((tcp) => tcp.end());
      return null;
    },
  },
  { name: 'readers: three that read a large history slowly or not at all, beside a busy trainer', run: slowReaders },
  { name: 'readers: an export that nobody reads keeps no run from being deleted', run: unreadExport },
  {
    name: 'readers: two hundred that disconnect midway',
    run: async (victim) => {
      const { port, bigRun } = victim;
      const paths = ['history?maxPoints=4000', 'windows?everySteps=100', 'findings', 'export'];
      await inLanes(200, 20, async (i) => {
        const tcp = await RawTcp.open(port);
        tcp.write(`GET /api/runs/${bigRun}/${paths[i % paths.length]} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
        await until(() => tcp.received.length > 0 || tcp.closed, 20 * (i % 10));
        tcp.end();
      });
      const { status } = await victim.asOwner(`/runs/${bigRun}/history?maxPoints=4000`);
      return status === 200 ? null : `the owner's history is answered ${status} afterwards`;
    },
  },
  { name: 'readers: unknown numbers, names and ranges', run: oddQueries },
  {
    name: 'readers: live data that nobody reads',
    run: async ({ port, trainer }) => {
      const readers = await inLanes(20, 20, async () => {
        const tcp = await RawTcp.open(port);
        tcp.write(
          'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n' +
            'Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n',
        );
        await until(() => tcp.received.includes('pingInterval') || tcp.closed, 3000);
        const frame = (text: string): Buffer =>
          Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
        tcp.write(frame('40/dashboard,'));
        await until(() => tcp.received.includes('40/dashboard,{') || tcp.closed, 3000);
        tcp.write(frame(`42/dashboard,1["watch",{"runId":"${trainer.runId}"}]`));
        tcp.stopReading();
        return tcp;
      });
      await sleep(5000);
      readers.forEach((tcp) => tcp.end());
      return null;
    },
  },
];

/** Readers hold large answers while a trainer sends at full speed: commits and checkpoints must go on. */
async function slowReaders(victim: Victim): Promise<string | null> {
  const trainer = await BusyTrainer.start(
    victim,
    Array.from({ length: 1000 }, (_, i) => `drift/g${i}`),
  );
  let [isOver, begun] = [false, 0];
  const reading = slowBytesPerSecond.map(async (bytesPerSecond, i) => {
    while (!isOver) {
      // Each has an address of its own, so that no limit of one address keeps the others out.
      const tcp = await RawTcp.open(victim.port, `127.0.67.${i + 1}`);
      if (bytesPerSecond > 0) tcp.readSlowly(bytesPerSecond);
      else tcp.stopReading();
      tcp.write(
        `GET /api/runs/${victim.bigRun}/history?maxPoints=100000 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`,
      );
      await until(() => isOver || tcp.closed, askAgainMs);
      if (tcp.received.startsWith('HTTP/1.1 200')) begun++;
      tcp.end();
    }
  });
  let fault: string | null = null;
  let [logBytes, before] = [0, 0];
  const startMs = performance.now();
  while (!fault && (logBytes < besideSlowReaders.bytes || performance.now() < startMs + besideSlowReaders.ms)) {
    fault = await trainer.send(19);
    const size = await stat(join(victim.hub.dataDir, 'plumbline.duckdb.wal')).then(
      (log) => log.size,
      () => 0,
    );
    // A checkpoint empties the log.
    logBytes += size < before ? size : size - before;
    before = size;
  }
  isOver = true;
  await Promise.all(reading);
  trainer.close();
  return firstOf(fault, begun === 0 && 'none of the readers got an answer');
}

/** A client exports a run and reads nothing; then the owner deletes the run. */
async function unreadExport(victim: Victim): Promise<string | null> {
  const trainer = await HostileTrainer.open(victim);
  const runId = RunId.parse('attack-unread');
  await trainer.attach(runId);
  const metrics = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`drift/g${i}`, i / 7]));
  const [first, last] = trainer.whole();
  await trainer.events([first, trainer.declares(2, Object.keys(metrics))]);
  for (let seq = 3; seq <= 400; seq += 19)
    await trainer.events(Array.from({ length: 19 }, (_, i) => trainer.step(seq + i, metrics)));
  await trainer.events([{ ...last, seq: 402, step: 401 }]);
  trainer.close();
  const reader = await RawTcp.open(victim.port);
  reader.stopReading();
  reader.write(`GET /api/runs/${runId}/export HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  const endMs = performance.now() + unreadLimitMs;
  let answer: HttpAnswer;
  do {
    await sleep(2000);
    answer = await victim.asOwner(`/runs/${runId}`, 'DELETE');
  } while (answer.status !== 200 && performance.now() < endMs);
  reader.end();
  return answer.status === 200
    ? null
    : `the run cannot be deleted after ${unreadLimitMs / 1000} s: ${answer.status} ${short(answer.body)}`;
}

async function oddQueries(victim: Victim): Promise<string | null> {
  const numbers = [
    '-1',
    '0',
    '1e308',
    '1e999',
    'NaN',
    'Infinity',
    '9007199254740991',
    '9007199254740992',
    '0x10',
    '',
    '%D9%A3',
    '1.5',
  ];
  const keys = ['fromStep', 'toStep', 'maxPoints', 'everySteps'];
  const run = `/runs/${victim.bigRun}`;
  const paths = [
    ...numbers.flatMap((n) =>
      keys.flatMap((key) => [`${run}/history?${key}=${n}`, `${run}/windows?everySteps=1000&${key}=${n}`]),
    ),
    ...numbers.map((n) => `/compare?run=${victim.bigRun}&fromStep=${n}`),
    `${run}/history?${'metric=train/loss&'.repeat(700)}`,
    `${run}/history?metric=${'x'.repeat(12_000)}`,
    `${run}/history?metric[a][b][c]=1&metric[__proto__]=2`,
    `${run}/history?metric=train/loss'%3B%20DROP%20TABLE%20points%3B--`,
    `${run}/history?metric=%00&metric=%ff%fe`,
    `${run}/history?fromStep=500&toStep=1`,
    `${run}/history?fromStep=1&fromStep=2`,
    `${run}/windows?everySteps=9007199254740991&toStep=9007199254740991`,
    `/compare?${Array.from({ length: 300 }, (_, i) => `run=none-${i}`).join('&')}`,
    '/compare',
    '/compare?run=',
    `/compare?run[]=${victim.bigRun}`,
  ];
  const answers = await inLanes(paths.length, 4, async (i) => {
    const { status, body } = await read(victim, paths[i]!);
    if (status === 200) return null;
    const fault = status === 0 ? `got no answer (${short(body)})` : refusalFault(status, body);
    return fault && `${short(paths[i]!, 100)} ${fault}`;
  });
  return firstOf(...answers);
}
