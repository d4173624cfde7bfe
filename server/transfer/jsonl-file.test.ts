import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import { TrainerEvent } from '@plumbline/shared/trainer-event';
import { describeModel } from '../trainer/models/parameter-roles.js';
import { mixture } from '../../test/support/real-models.js';
import { jsonLines } from './jsonl-file.js';

it('the description of a large model is exported in short parts, with the digest of its lines', async () => {
  const runId = RunId.parse('large');
  const model = describeModel('mixture', mixture());
  const started = TrainerEvent.parse({
    ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: 5, model, baseline: {}, trainable: [] },
    trainer: { backend: '', device: '', host: 'here', processId: 1, version: '1' },
    selection: { kind: 'recipe', recipe: 'full' },
  });
  const parts: string[] = [];
  const archive = {
    run: {
      ...{
        runId,
        description: describeRun(RunConfig.parse({ name: 'large' })),
        parent: null,
        state: 'failed' as const,
      },
      ...{ reason: '', trainer: null, createdMs: 1, startedMs: 1, endedMs: 2 },
    },
    ...{ commands: [], lastSeq: 1 },
    async *events() {
      yield [started];
    },
  };
  for await (const part of jsonLines(archive)) parts.push(part);
  expect(Math.max(...parts.map(({ length }) => length))).toBeLessThan(100_000);
  const lines = parts.join('').split('\n');
  expect(JSON.parse(lines[2]!)).toEqual(started);
  const digest = createHash('sha256').update(`${lines[1]}\n${lines[2]}\n`).digest('hex');
  expect(JSON.parse(lines[3]!)).toEqual({ digest: `sha256:${digest}` });
});
