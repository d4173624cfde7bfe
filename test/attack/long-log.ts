import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { CommandRecord } from '@plumbline/shared/command';
import { RunId } from '@plumbline/shared/run';
import { TrainerEvent } from '@plumbline/shared/trainer-event';
import { EmbeddedStore } from '@plumbline/server/dist/store/embedded-store.js';
import { storeFile } from '@plumbline/server/dist/store/open-store.js';

const eventsPerBatch = 200;
const [tasks, questions, tokens, examples] = [100, 500, 200, 100];

/**
 * Writes an ended run into a data folder that no hub uses, with short series and a long log: `events` each of
 * evaluations, applied commands, token shifts and declarations of ten series, and a tenth as many examples of half a
 * megabyte.
 */
export async function fillLongLog(dataDir: string, events: number, name = 'attack-long-log'): Promise<RunId> {
  const runId = RunId.parse(name);
  await mkdir(dataDir, { recursive: true });
  const store = new EmbeddedStore(join(dataDir, storeFile));
  const createdMs = Date.now() - 1000 * events;
  const description = describeRun(RunConfig.parse({ name }));
  const ended = { state: 'finished', startedMs: createdMs, endedMs: createdMs + 1000 * events } as const;
  const run = { runId, description, parent: null, reason: '', trainer: null, createdMs, ...ended };
  await store.createRun(run);
  let seq = 0;
  let batch: TrainerEvent[] = [];
  const say = async (event: object, step: number): Promise<void> => {
    batch.push(TrainerEvent.parse({ seq: ++seq, step, wallTimeMs: createdMs + step * 1000, ...event }));
    if (batch.length < eventsPerBatch) return;
    await store.append(runId, batch);
    batch = [];
  };
  for (let i = 0; i < events; i++) {
    const commandId = `command-${i}`;
    const series = Array.from({ length: 10 }, (_, at) => ({ number: 10 * i + at, name: `my/series${10 * i + at}` }));
    await say({ type: 'series_declared', series }, i);
    await say({ type: 'step_completed', stage: 0, metrics: { 'train/loss': 1, [`my/series${10 * i}`]: i } }, i);
    await say({ type: 'evaluation_completed', stage: i === 0 ? null : i, weight: null, right: answers(i) }, i);
    await say({ type: 'token_shift', prompts: 'counting', tokens: shiftedTokens }, i);
    if (i % 10 === 0) await say({ type: 'examples', task: 'counting', examples: longExamples }, i);
    await say({ type: 'command_applied', commandId, before: { learning_rate: i }, after: { learning_rate: i + 1 } }, i);
    await store.putCommand(
      CommandRecord.parse({
        ...{
          commandId,
          runId,
          author: 'rule:often',
          state: 'applied',
          receivedMs: createdMs + i,
          endedMs: createdMs + i,
        },
        ...{
          step: i,
          before: { learning_rate: i },
          after: { learning_rate: i + 1 },
          reason: '',
          cause: 'c'.repeat(900),
        },
        action: { kind: 'set_learning_rate', learningRate: 1e-4 },
      }),
    );
  }
  if (batch.length > 0) await store.append(runId, batch);
  await store.updateRun(run);
  await store.close();
  return runId;
}

const answers = (evaluation: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: tasks }, (_, task) => [
      `task${task}`,
      Array.from({ length: questions }, (_, question) =>
        (question * 7 + evaluation + task) % 3 === 0 ? '1' : '0',
      ).join(''),
    ]),
  );
const shiftedTokens = Array.from({ length: tokens }, (_, id) => ({ token: `token ${id}`, id, base: 0.5, now: 0.25 }));
const longExamples = Array.from({ length: examples }, (_, i) => ({
  ...{ exampleId: `example-${i}`, prompt: 'p'.repeat(2000), now: { answer: 'a'.repeat(3000) } },
}));
