import { randomUUID } from 'node:crypto';
import { short } from './attack.js';
import { HostileTrainer } from './hostile-trainer.js';
import { ask } from './raw-clients.js';
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

/** Checks that everything about a run can be read: each answer is 200, for any input of the trainer. */
export async function readable({ port }: Victim, runId: string): Promise<string | null> {
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
    const { status, body } = await ask(port, `/api/runs/${runId}${end}`, { from: '127.0.0.1' });
    if (status !== 200 && !(status === 400 && body.includes('"invalid"')))
      return `${end || 'the run'} is answered ${status} ${short(body, 100)}`;
  }
  return null;
}
