import { execFile } from 'node:child_process';
import { cp, mkdtemp, open, rename, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { HubProcess } from '../support/hub-process.js';
import { firstOf, short, type Attack } from './attack.js';
import { plumbline } from './command-line.js';
import { HostileTrainer } from './hostile-trainer.js';
import { ask } from './raw-clients.js';
import type { Victim } from './victim.js';

/* Faulty disks: the store of a separate hub is damaged, and the hub must report the loss by run and number. */

const runId = 'mercury-7';
/** Acknowledged events: in the main file, and with those in the write-ahead log. */
const counts = { inFile: 137, inAll: 412 };
/** The time in which the hub must notice. */
const noticeLimitMs = 60_000;

type Damage = (main: string, log: string) => Promise<void>;
/** Flips a byte at a fraction of the file's length. */
const flip = async (path: string, at: number): Promise<void> => {
  const file = await open(path, 'r+');
  try {
    const { size } = await file.stat();
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, Math.floor(size * at));
    byte[0]! ^= 0xff;
    await file.write(byte, 0, 1, Math.floor(size * at));
  } finally {
    await file.close();
  }
};
const cut = async (path: string, to: number): Promise<void> => truncate(path, Math.floor((await stat(path)).size * to));

const damages: Record<string, Damage> = {
  'a byte flipped early in the write-ahead log': (_main, log) => flip(log, 0.1),
  'a byte flipped in the middle of the write-ahead log': (_main, log) => flip(log, 0.5),
  'a byte flipped at the end of the write-ahead log': (_main, log) => flip(log, 0.99),
  'an empty write-ahead log': (_main, log) => truncate(log, 0),
  'a missing write-ahead log': (_main, log) => unlink(log),
  'a write-ahead log cut in half': (_main, log) => cut(log, 0.5),
  'a write-ahead log with rubbish at its end': async (_main, log) =>
    writeFile(log, Buffer.alloc(5000, 0x5a), { flag: 'a' }),
  'a write-ahead log of nothing but zeros': async (_main, log) => writeFile(log, Buffer.alloc((await stat(log)).size)),
  'a byte flipped in the head of the main file': (main) => flip(main, 0.001),
  'a byte flipped in the middle of the main file': (main) => flip(main, 0.5),
  'a main file cut in half': (main) => cut(main, 0.5),
  'an empty main file': (main) => truncate(main, 0),
  'a missing main file': (main) => unlink(main),
  'both files missing': async (main, log) => void (await Promise.all([unlink(main), unlink(log)])),
};

/** Made once: the data folder of a hub that was killed after one checkpoint of its file. */
let prepared: Promise<string> | null = null;

async function prepare(): Promise<string> {
  const hub = await HubProcess.start();
  const token = hub.trainerToken;
  const send = async (from: number, to: number): Promise<void> => {
    const trainer = await HostileTrainer.open({ port: hub.port, token } as Victim);
    await trainer.attach(runId);
    for (let seq = from; seq <= to; seq++) {
      const event = seq === 1 ? trainer.declares(seq, ['train/loss']) : trainer.step(seq);
      const reply = await trainer.events([event]);
      if (reply.kind !== 'answer' || !reply.ok)
        throw new Error(`An honest event was refused: ${JSON.stringify(reply)}`);
    }
    trainer.close();
  };
  await send(1, counts.inFile);
  await hub.stop();
  await hub.start();
  await send(counts.inFile + 1, counts.inAll);
  await hub.kill();
  return hub.dataDir;
}

/** A hub's report on a damaged store: in its output, and in its answers. */
async function saidBy(dataDir: string): Promise<{ said: string; served: number }> {
  let hub: HubProcess;
  try {
    hub = await HubProcess.start({ dataDir });
  } catch (error) {
    return { said: String(error), served: 0 };
  }
  try {
    const readiness = await ask(hub.port, '/readyz');
    const history = await ask(hub.port, `/api/runs/${runId}/history?metric=train/loss&maxPoints=10000`);
    const served = history.status === 200 ? (JSON.parse(history.body) as { lastSeq: number }).lastSeq : 0;
    return { said: `${readiness.status} ${readiness.body} ${history.body.slice(0, 1000)} ${hub.output}`, served };
  } finally {
    await hub.kill();
  }
}

/** The fault, unless all is served, or the loss is reported and the advice keeps the undamaged part. */
function judge(what: string, said: string, served: number): string | null {
  if (served === counts.inAll) return null;
  const isTold = said.includes(runId) && new RegExp(`\\b${counts.inAll}\\b`).test(said);
  const throwsAllAway =
    /start empty/i.test(said) && what.includes('write-ahead') && !/main file|whole|save/i.test(said);
  return firstOf(
    throwsAllAway && `the advice throws away the main file, which is whole: ${short(said.replace(/\s+/g, ' '), 300)}`,
    !isTold &&
      `${served} of ${counts.inAll} acknowledged events are served, and the loss is not told by run and number: ${short(said.replace(/\s+/g, ' '), 300)}`,
  );
}

const damaged = (what: string, damage: Damage): Attack => ({
  name: `store: ${what}`,
  run: async () => {
    prepared ??= prepare();
    const dataDir = await mkdtemp(join(tmpdir(), 'plumbline-attack-store-'));
    try {
      await cp(await prepared, dataDir, { recursive: true });
      const main = join(dataDir, 'plumbline.duckdb');
      await damage(main, `${main}.wal`);
      let { said, served } = await saidBy(dataDir);
      const fault = judge(what, said, served);
      if (fault === null || !/\brepair\b/.test(said)) return fault;
      // Follows the advice and checks what it saves.
      const repaired = await plumbline('repair', '--data-dir', dataDir);
      ({ said, served } = await saidBy(dataDir));
      return judge(what, `${repaired.output} ${said}`, served);
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  },
});

/** Runs work with a separate hub and a trainer that has attached and declared some series. */
async function onRunningHub<T>(
  names: readonly string[],
  work: (hub: HubProcess, trainer: HostileTrainer) => Promise<T>,
): Promise<T> {
  const hub = await HubProcess.start();
  try {
    const trainer = await HostileTrainer.open({ port: hub.port, token: hub.trainerToken } as Victim);
    await trainer.attach(runId);
    await trainer.events([trainer.declares(1, names)]);
    return await work(hub, trainer);
  } finally {
    await hub.remove();
  }
}

/** Files vanish while the hub runs: it must say so, and acknowledge nothing that would be lost. */
const underRunning = (what: string, damage: Damage): Attack => ({
  name: `store: ${what} under a running hub`,
  run: () =>
    onRunningHub(['train/loss'], async (hub, trainer) => {
      const main = join(hub.dataDir, 'plumbline.duckdb');
      await damage(main, `${main}.wal`);
      const endMs = performance.now() + noticeLimitMs;
      for (let seq = 2; performance.now() < endMs; seq++) {
        const reply = await trainer.events([trainer.step(seq)]);
        const { status, body } = await ask(hub.port, '/readyz');
        const isNoticed = status === 503 || /(gone|missing|deleted|removed|moved|replaced)/i.test(body);
        if (isNoticed && (reply.kind !== 'answer' || !reply.ok || body.includes('"problems":[{'))) return null;
        await sleep(1000);
      }
      return `it acknowledges events into files that are gone, and is ready, for ${noticeLimitMs / 1000} s`;
    }),
});

export const storeDamageAttacks: Attack[] = [
  ...Object.entries(damages).map(([what, damage]) => damaged(what, damage)),
  underRunning('files deleted', async (main, log) => {
    await rm(main, { force: true });
    await rm(log, { force: true });
  }),
  underRunning('files moved away', async (main) => rename(main, `${main}.moved`)),
  {
    name: 'store: a limit on the size of files is not reported as a full disk',
    run: () => {
      const metrics = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`drift/g${i}`, i]));
      return onRunningHub(Object.keys(metrics), async (hub, trainer) => {
        await promisify(execFile)('prlimit', ['--pid', String(hub.processId), '--fsize=20000']);
        const reply = await trainer.events(Array.from({ length: 50 }, (_, i) => trainer.step(2 + i, metrics)));
        const { body } = await ask(hub.port, '/readyz');
        const said = JSON.stringify(reply) + body;
        return firstOf(
          /disk of .* is full/i.test(said) && `it says ${short(said, 200)}`,
          reply.kind === 'answer' && reply.ok && 'events were acknowledged beyond the limit',
          reply.kind === 'closed' && 'the hub died of it',
        );
      });
    },
  },
];

/** Removes the files of these attacks. */
export async function clearStoreDamage(): Promise<void> {
  const dataDir = await prepared?.catch(() => null);
  if (dataDir) await rm(dataDir, { recursive: true, force: true });
  prepared = null;
}
