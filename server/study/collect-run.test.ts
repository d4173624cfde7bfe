import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { branchName } from '@plumbline/shared/branch-name';
import type { CommandAction } from '@plumbline/shared/command';
import type { WireMetrics } from '@plumbline/shared/metric';
import type { TrainableSelection } from '@plumbline/shared/parameter';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import type { RunConfig } from '@plumbline/shared/built-in/run-config';
import { CheckpointId, type RunId, type RunParent } from '@plumbline/shared/run';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { aCommand, aRunId, columnsOf, started, TestHub, type TrainerEnd } from '../../test/support/test-hub.js';
import { collectRun } from './collect-run.js';
import { HubSession } from '../hub-api.js';
import { plan, StudySpec } from './study-spec.js';

const [full, branch] = plan(
  StudySpec.parse({
    ...{ name: 'trial', seeds: [1], config: { tasks: ['counting'], steps: 10, evaluationQuestions: 1 } },
    variants: { full: {}, branch: { from: { variant: 'full', step: 4 }, config: { recipe: 'sa_proj' } } },
  }),
);
const frozen: TrainableSelection = { kind: 'recipe', recipe: 'sa_proj' };
let hub: TestHub;
let session: HubSession;
beforeAll(async () => {
  hub = await TestHub.start();
  session = new HubSession(hub.url, await hub.cookie());
});
afterAll(() => hub.remove());

type Said<E = WireEvent> = E extends unknown ? Omit<E, 'seq' | 'step' | 'wallTimeMs'> : never;

/** A trainer that says what it is told to, with the real hub behind it. */
class Part {
  #seq = 0;
  private constructor(
    readonly runId: RunId,
    readonly trainer: TrainerEnd,
    public step: number,
  ) {}

  static async open(config = full!.config, parent: RunParent | null = null, runId = aRunId()): Promise<Part> {
    const part = new Part(runId, hub.trainer(), parent?.step ?? 0);
    part.trainer.on('command', (_command, ack) => ack({ ok: true }));
    await part.trainer.emitWithAck('attach', { runId, run: describeRun(config), parent });
    await part.#say({ ...started(), selection: { kind: 'recipe', recipe: config.recipe } } as Said);
    return part;
  }

  async #say(said: Said): Promise<void> {
    const event = { ...said, seq: ++this.#seq, step: this.step, wallTimeMs: Date.now() } as WireEvent;
    const answer = await this.trainer.emitWithAck('events', { events: [event] });
    if (!answer.ok) throw new Error(answer.error.message);
  }
  /** Goes back to a checkpoint of this run, as another segment. */
  async goBack({ checkpointId, step }: RunParent): Promise<void> {
    this.step = step;
    await this.#say({ type: 'segment_started', fromStep: step, checkpointId });
  }
  async train(toStep: number, metrics: (step: number) => WireMetrics = () => ({})): Promise<void> {
    while (this.step < toStep) {
      this.step++;
      await this.#say({ type: 'step_completed', stage: 0, ...columnsOf(metrics(this.step)) });
    }
  }
  async save(): Promise<RunParent> {
    const { runId, step } = this;
    const checkpointId = CheckpointId.parse(`step-${step}`);
    await this.#say({ type: 'checkpoint_saved', checkpointId, bytes: 1, digest: 'd' });
    return { runId, checkpointId, step };
  }
  async evaluate(weights: readonly (number | null)[]): Promise<void> {
    for (const weight of weights)
      await this.#say({ type: 'evaluation_completed', stage: 0, weight, right: { counting: '1' } });
  }
  /** Gives a command and carries it out. */
  async command(action: CommandAction, after: Record<string, string | number> = {}): Promise<void> {
    const { commandId } = await hub.hub.runs.command(aCommand(this.runId, action), 'person');
    await this.#say({ type: 'command_applied', commandId, before: {}, after });
  }
}

describe('collectRun', () => {
  it('is one course over the parts of a run: series cut where they were left, energy counted on', async () => {
    const first = await Part.open();
    const energy = (step: number): WireMetrics => ({ 'train/loss': step, 'energy/joules': 10 * step });
    await first.train(4, energy);
    const second = await Part.open(full!.config, await first.save());
    // Work that the death of the first part lost.
    await first.train(6, () => ({ 'train/loss': 0, 'energy/joules': 1000 }));
    await second.train(10, (step) => ({ 'train/loss': 100 * step, 'energy/joules': step - 4 }));
    const { series, interventions } = await collectRun(session, full!, second.runId);
    expect(series['train/loss']).toEqual({
      steps: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
      values: [1, 2, 3, 4, 500, 600, 700, 800, 900, 1000],
    });
    expect(series['energy/joules']!.values).toEqual([10, 20, 30, 40, 41, 42, 43, 44, 45, 46]);
    expect(interventions).toEqual([]);
  });

  it('has the commands that the checkpoint which was gone on from was saved after', async () => {
    const first = await Part.open();
    await first.train(2);
    await first.command({ kind: 'lower_learning_rate', factor: 0.5 }, { learning_rate: 0.0005 });
    await first.train(4);
    await first.command({ kind: 'set_trainable', selection: frozen });
    const second = await Part.open(full!.config, await first.save());
    await first.command({ kind: 'set_learning_rate', learningRate: 0.9 }, { learning_rate: 0.9 });
    // At the step that it starts from.
    await second.command({ kind: 'set_learning_rate', learningRate: 0.1 }, { learning_rate: 0.1 });
    await second.train(10);
    const { interventions } = await collectRun(session, full!, second.runId);
    expect(interventions).toEqual([
      { step: 2, author: 'person', what: 'learning rate 0.0005' },
      { step: 4, author: 'person', what: 'trains sa_proj' },
      { step: 4, author: 'person', what: 'learning rate 0.1' },
    ]);
  });

  it('says at the branch point that a run went back, and drops what it went back behind', async () => {
    const first = await Part.open();
    await first.train(4);
    const saved = await first.save();
    await first.train(7);
    await first.command({ kind: 'set_trainable', selection: frozen });
    const branchRunId = aRunId();
    await first.command({ kind: 'restore_checkpoint', checkpointId: saved.checkpointId, branchRunId });
    // Named as the built-in trainer names a branch.
    const config = { ...full!.config, name: branchName(full!.config.name, saved.step) };
    const second = await Part.open(config, saved, branchRunId);
    await second.train(10);
    const { interventions } = await collectRun(session, full!, second.runId);
    expect(interventions).toEqual([{ step: 4, author: 'person', what: 'went back from step 7 to step-4' }]);
  });

  it('leaves to a parent what its method evaluated beside its model', async () => {
    const evaluated = async (method: RunConfig['method']): Promise<(number | null)[]> => {
      const parent = await Part.open({ ...full!.config, method: { kind: 'wise_ft', weights: [0.5] } });
      await parent.train(4);
      await parent.evaluate([null, 0.5]);
      const course = { ...branch!, config: { ...branch!.config, method } };
      const child = await Part.open(course.config, await parent.save());
      await child.train(10);
      const { evaluations } = await collectRun(session, course, child.runId);
      return evaluations.map(({ weight }) => weight);
    };
    expect(await evaluated({ kind: 'fine_tuning' })).toEqual([null]);
    expect(await evaluated({ kind: 'wise_ft', weights: [0.5] })).toEqual([null, 0.5]);
  });

  it('says once that a planned branch left another run, however often it was gone on with', async () => {
    const parent = await Part.open();
    await parent.train(4);
    const first = await Part.open(branch!.config, await parent.save());
    const second = await Part.open(branch!.config, await first.save());
    await second.train(10);
    const { interventions } = await collectRun(session, branch!, second.runId);
    expect(interventions).toEqual([
      { step: 4, author: 'study', what: 'branched from full: trains sa_proj, learning rate 0.001' },
    ]);
  });

  it('leaves out evaluations and commands that a later segment has undone', async () => {
    const part = await Part.open();
    await part.train(2);
    await part.evaluate([null]);
    await part.command({ kind: 'lower_learning_rate', factor: 0.5 }, { learning_rate: 0.0005 });
    const saved = await part.save();
    await part.command({ kind: 'set_learning_rate', learningRate: 0.9 }, { learning_rate: 0.9 });
    await part.train(6);
    await part.command({ kind: 'set_trainable', selection: frozen });
    await part.evaluate([null]);
    await part.goBack(saved);
    await part.train(8);
    await part.evaluate([null]);
    await part.train(10);
    const { evaluations, interventions } = await collectRun(session, full!, part.runId);
    expect(evaluations).toMatchObject([{ step: 2 }, { step: 8 }]);
    expect(interventions).toEqual([{ step: 2, author: 'person', what: 'learning rate 0.0005' }]);
  });

  it('keeps what a run took over before its parent went back', async () => {
    const parent = await Part.open();
    await parent.train(2);
    const early = await parent.save();
    await parent.command({ kind: 'set_trainable', selection: frozen });
    await parent.train(4);
    await parent.evaluate([null]);
    const child = await Part.open(full!.config, await parent.save());
    await child.train(10);
    await parent.goBack(early);
    await parent.command({ kind: 'set_learning_rate', learningRate: 0.9 }, { learning_rate: 0.9 });
    await parent.train(3);
    await parent.evaluate([null]);
    const { evaluations, interventions } = await collectRun(session, full!, child.runId);
    expect(evaluations).toMatchObject([{ step: 4 }]);
    expect(interventions).toEqual([{ step: 2, author: 'person', what: 'trains sa_proj' }]);
  });
});
