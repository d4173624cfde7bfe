import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { ControlEvent, TrainerEvent } from '@plumbline/shared/trainer-event';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { pythonWith } from '../support/python-with.js';
import { tryTrainer } from './play.js';

const program = 'test/conformance/pytorch_trainer.py';
const python = pythonWith(['torch', 'transformers', 'socketio'], 'The PyTorch trainer is');

it('the PyTorch trainer has at most 150 lines', () => {
  expect(readFileSync(program, 'utf8').trimEnd().split('\n').length).toBeLessThanOrEqual(150);
});

describe.skipIf(!python)('the PyTorch trainer', () => {
  let hub: HubProcess;
  let client: HubClient;
  beforeAll(async () => {
    hub = await HubProcess.start();
    client = await HubClient.open(hub);
  });
  afterAll(async () => {
    client.close();
    await hub.remove();
  });

  const environment = (): NodeJS.ProcessEnv => ({
    ...process.env,
    PLUMBLINE_HUB: hub.url,
    PLUMBLINE_TOKEN: hub.trainerToken,
  });
  const exported = async (runId: RunId): Promise<TrainerEvent[]> => {
    const answer = await fetch(`${hub.url}/api/runs/${runId}/export?format=jsonl`, {
      headers: { authorization: `Bearer ${environment()['PLUMBLINE_TOKEN']}` },
    });
    const lines = (await answer.text()).trimEnd().split('\n');
    return lines.map((line) => JSON.parse(line) as TrainerEvent).filter((line) => 'seq' in line && 'type' in line);
  };
  const newestRun = (name: string): Promise<RunId> =>
    client.until(name, async () => {
      const answer = await fetch(`${hub.url}/api/runs`);
      const { runs } = (await answer.json()) as {
        runs: { runId: RunId; description: { name: string }; state: string }[];
      };
      return runs.find((run) => run.description.name === name && run.state !== 'created')?.runId;
    });

  it('has a correct freeze map and recipes, sends its own metrics, survives a NaN loss, and obeys commands', async () => {
    const child: ChildProcess = spawn(python!, [program, '--nan-at', '3'], { env: environment(), stdio: 'inherit' });
    const exited = once(child, 'exit');
    const runId = await newestRun('Tiny LLaVA in PyTorch');
    await client.step(runId, 5);
    const applied = async (action: Parameters<HubClient['command']>[1]): Promise<CommandRecord> => {
      const record = await client.commandEnd(runId, action);
      expect(record).toMatchObject({ state: 'applied', reason: '' });
      return record;
    };
    await applied({ kind: 'set_trainable', selection: { kind: 'recipe', recipe: 'sa_proj' } });
    await applied({ kind: 'set_learning_rate', learningRate: 0.0005 });
    await applied({ kind: 'pause' });
    await client.state(runId, 'paused');
    const refused = await client.commandEnd(runId, {
      kind: 'set_trainable',
      selection: { kind: 'pattern', pattern: 'no.*' },
    });
    expect(refused.state).toBe('failed');
    expect((await client.commandEnd(runId, { kind: 'save_checkpoint' })).state).toBe('rejected');
    await applied({ kind: 'resume' });
    await client.step(runId, (await client.run(runId)).lastStep + 3);
    await applied({ kind: 'stop' });
    await client.state(runId, 'stopped');
    expect(await exited).toEqual([0, null]);

    const events = await exported(runId);
    const started = events.find(
      (event): event is Extract<ControlEvent, { type: 'run_started' }> => event.type === 'run_started',
    )!;
    const count = (part: string): number => started.model.groups.filter((group) => group.part === part).length;
    // Two layers of 4 + 3 projections and norms, and the last norm; two of 4 + 2 and norms, embeddings and norms.
    expect([count('language'), count('vision')]).toEqual([17, 16]);
    expect([count('projector'), count('embedding'), count('head'), count('other')]).toEqual([1, 1, 1, 0]);
    const groupOf = new Map(started.model.parameters.map(({ name, group }) => [name, group]));
    // As in the paper: the language model with embedding and head; no vision, no projector.
    const isFrozen = (name: string): boolean => /vision_tower|multi_modal_projector/.test(name);
    expect(started.trainable).toEqual([...groupOf.keys()].filter((name) => !isFrozen(name)));
    const changed = events.find((event) => event.type === 'trainable_changed')!;
    expect(changed).toMatchObject({ selection: { kind: 'recipe', recipe: 'sa_proj' } });
    expect((changed as { trainable: string[] }).trainable.sort()).toEqual(
      [0, 1]
        .flatMap((layer) =>
          ['k', 'o', 'q', 'v'].map((one) => `model.language_model.layers.${layer}.self_attn.${one}_proj.weight`),
        )
        .sort(),
    );

    const steps = events.filter((event) => event.type === 'step_completed');
    expect(steps[2]!.metrics['loss']).toBe('NaN');
    expect(steps[3]!.metrics['loss']).toBeGreaterThan(0);
    const answer = (await (await fetch(`${hub.url}/api/runs/${runId}/series`)).json()) as {
      series: { name: string }[];
    };
    expect(answer.series).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'loss', unit: 'nats', better: 'lower' }),
        expect.objectContaining({ name: 'lr-AdamW/pg1', last: { step: steps.at(-1)!.step, value: 0.0005 } }),
      ]),
    );
  });

  it('passes every conformance case', async () => {
    const outcomes = await tryTrainer(`exec ${python} ${program}`);
    expect(outcomes.filter(({ state }) => state !== 'passed')).toEqual([]);
  });
});
