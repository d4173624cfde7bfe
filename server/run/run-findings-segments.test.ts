import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { CommandId } from '@plumbline/shared/command';
import { CheckpointId } from '@plumbline/shared/run';
import { RunDescription } from '@plumbline/shared/run-description';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { aRunId, started } from '../../test/support/test-hub.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import { runFindings } from './run-findings.js';

const checkpointId = CheckpointId.parse('step-10');
const slower = (seq: number, rate: number): ControlEvent => ({
  ...{ type: 'command_applied', seq, step: 10, wallTimeMs: seq },
  ...{ commandId: CommandId.parse(`command-${seq}`), before: { learning_rate: 1 }, after: { learning_rate: rate } },
});

it('findings leave out a change between the save of a checkpoint and a segment from it, at the same step', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-findings-'));
  const store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));
  try {
    const runId = aRunId();
    const description = RunDescription.parse({ name: 'segments' });
    const run = { runId, description, state: 'finished', parent: null, segments: [{ seq: 5, fromStep: 10 }] } as const;
    await store.createRun({ ...run, segments: [], reason: '', trainer: null, createdMs: 1, startedMs: 1, endedMs: 2 });
    await store.append(runId, [
      started(),
      slower(2, 0.5),
      { type: 'checkpoint_saved', seq: 3, step: 10, wallTimeMs: 3, checkpointId, bytes: 1, digest: 'd' },
      slower(4, 0.25),
      { type: 'segment_started', seq: 5, step: 10, wallTimeMs: 5, fromStep: 10, checkpointId },
    ]);
    const texts = (await runFindings(store, { ...run, segments: [...run.segments] })).map(({ text }) => text);
    expect(texts.filter((text) => text.includes('learning rate was 0.5 '))).toHaveLength(1);
    expect(texts.filter((text) => text.includes('0.25'))).toEqual([]);
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
