import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { short } from './attack.js';
import { HostileTrainer } from './hostile-trainer.js';
import { ask, type HttpAnswer } from './raw-clients.js';
import type { Victim } from './victim.js';

/* A run for one attack, and a check that it can be read afterwards. */

export const newId = (): string => `attack-${randomUUID().slice(0, 8)}`;

/** Runs an attack with a newly attached run. */
export async function withRun(
  victim: Victim,
  work: (trainer: HostileTrainer, runId: string) => Promise<string | null>,
): Promise<string | null> {
  const trainer = await HostileTrainer.open(victim);
  const runId = newId();
  try {
    const attached = await trainer.attach(runId);
    if (attached.kind !== 'answer' || !attached.ok) return `an honest attach is answered ${JSON.stringify(attached)}`;
    return await work(trainer, runId);
  } finally {
    trainer.close();
  }
}

/** Reads as an honest client, which waits where it is told to. */
export async function readHonestly({ port }: Victim, path: string): Promise<HttpAnswer> {
  for (;;) {
    const answer = await ask(port, path, { from: '127.0.0.1' });
    if (answer.status !== 429) return answer;
    await sleep(1000 * Number(answer.headers['retry-after'] ?? 1));
  }
}

/** Checks that everything about a run can be read: each answer is 200, for any input of the trainer. */
export async function readable(victim: Victim, runId: string): Promise<string | null> {
  const ends = [
    '',
    '/history',
    '/history?maxPoints=5',
    '/windows',
    '/windows?everySteps=7',
    '/findings',
    '/events',
    '/export',
  ];
  for (const end of ends) {
    const { status, body } = await readHonestly(victim, `/api/runs/${runId}${end}`);
    if (status !== 200 && !(status === 400 && body.includes('"invalid"')))
      return `${end || 'the run'} is answered ${status} ${short(body, 100)}`;
  }
  return null;
}
