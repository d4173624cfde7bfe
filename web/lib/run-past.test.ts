import { describe, expect, it, vi } from 'vitest';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { CommandRecord } from '@plumbline/shared/command';
import type { WireSeries } from '@plumbline/shared/http';
import { RunSummary, type RunId } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { decimate } from '../charts/decimate';
import { beginningOf, peakLearningRate } from './changes';
import { ancestorsOf, branchesOf, followPast, readCourses, readPast, readTakenOver } from './run-past';
import { RunStore } from './run-store';

const run = (runId: string, parent?: [runId: string, step: number]): RunSummary =>
  RunSummary.parse({
    runId,
    description: describeRun(RunConfig.parse({ name: runId })),
    parent: parent ? { runId: parent[0], checkpointId: `step-${parent[1]}`, step: parent[1] } : null,
    state: 'stopped',
    reason: '',
    trainer: null,
    trainerConnected: false,
    createdMs: 0,
    startedMs: null,
    endedMs: null,
    lastStep: 0,
    lastSeq: 0,
  });
const root = run('root');
const child = run('child', ['root', 2]);
const grandchild = run('grandchild', ['child', 3]);

describe('ancestorsOf and branchesOf', () => {
  it('go up and down the tree, and end at a missing parent or a circle', () => {
    expect(ancestorsOf(grandchild, [root, child, grandchild])).toEqual([child, root]);
    expect(ancestorsOf(grandchild, [grandchild, root])).toEqual([]);
    const [a, b] = [run('aaa', ['bbb', 1]), run('bbb', ['aaa', 1])];
    expect(ancestorsOf(a, [a, b])).toEqual([b]);
    expect(branchesOf(root, [root, child, grandchild])).toEqual([child]);
  });
});

/** A hub that has for each run a loss a step, a checkpoint, and a change of the learning rate before and after it. */
function hubOf(restored: boolean): Parameters<typeof followPast>[3] {
  const series: Record<string, WireSeries> = {
    root: { steps: [1, 2, 3], seqs: [1, 2, 7], values: [9, 8, 7], bucketSteps: 0 },
    child: { steps: [3, 4], seqs: [1, 9], values: [6, 5], bucketSteps: 0 },
  };
  const rate = (runId: string, at: string, learningRate: number): CommandRecord =>
    CommandRecord.parse({
      commandId: `${runId}-rate-${at}`,
      runId,
      action: { kind: 'set_learning_rate', learningRate },
      author: 'dashboard',
      state: 'applied',
      receivedMs: 1,
      endedMs: 1,
      step: 2,
      before: null,
      after: null,
      reason: '',
    });
  const event = (type: string, seq: number, step: number, more: object): ControlEvent =>
    ({ type, seq, step, wallTimeMs: 0, ...more }) as ControlEvent;
  const commands = (runId: string): CommandRecord[] =>
    runId === 'root' ? [rate(runId, 'before', 5e-4), rate(runId, 'after', 1e-5)] : [];
  return {
    history: (runId: RunId, { toStep = Infinity }) => {
      const { steps, seqs, values } = series[runId]!;
      const upTo = <T>(column: readonly T[]): T[] => column.filter((_, index) => steps[index]! <= toStep);
      const loss = { steps: upTo(steps), seqs: upTo(seqs), values: upTo(values), bucketSteps: 0 };
      return Promise.resolve({ runId, lastSeq: 9, series: { 'train/loss': loss } });
    },
    events: (runId: RunId) => {
      const step = runId === 'root' ? 2 : 3;
      const events = [
        event('command_applied', 3, step, { commandId: `${runId}-rate-before` }),
        event('stage_started', 3.5, step, { stage: 1 }),
        event('checkpoint_saved', 4, step, { checkpointId: `step-${step}` }),
        event('stage_started', 4.5, step, { stage: 2 }),
        event('command_applied', 5, step, { commandId: `${runId}-rate-after` }),
      ];
      return Promise.resolve({ runId, lastSeq: 9, events });
    },
    commands: (runId: RunId) => {
      const next = runId === 'root' ? 'child' : 'grandchild';
      const restore = CommandRecord.parse({
        ...rate(runId, 'restore', 1),
        action: { kind: 'restore_checkpoint', checkpointId: 'step-2', branchRunId: next },
      });
      return Promise.resolve([...commands(runId), ...(restored ? [restore] : [])]);
    },
  };
}

describe('readPast', () => {
  const runs = [root, child, grandchild];
  it('joins the ancestors’ values up to each checkpoint, in order of time', async () => {
    const courses = await readCourses(grandchild, ancestorsOf(grandchild, runs), hubOf(true), ['train/loss', 'none']);
    const loss = courses.get('train/loss')!;
    expect([...loss.steps]).toEqual([1, 2, 3]);
    expect([...loss.values]).toEqual([9, 8, 6]);
    expect(courses.get('none')).toMatchObject({ length: 0 });
  });
  it('joins evenly spaced probes, and leaves a gap where one is missing', async () => {
    const probes: WireSeries = { steps: [0, 20, 60], seqs: [1, 2, 9], values: [95, 90, 60], bucketSteps: 0 };
    const history = (runId: RunId) =>
      Promise.resolve({ runId, lastSeq: 9, series: { 'held_out/mean/accuracy': probes } });
    const branch = run('child', ['root', 60]);
    const name = 'held_out/mean/accuracy';
    const course = decimate((await readCourses(branch, [root], { history }, [name])).get(name)!, 0, 60, 600);
    // The last value was measured after the save, but at the checkpoint's step: it belongs to the same weights.
    expect(course.value).toEqual([95, 90, 60]);
    expect(course.starts).toEqual([true, false, true]);
  });
  it('takes over a change from before the checkpoint, not one at the same step after it', async () => {
    const past = await readPast(child, [root], hubOf(true));
    expect(past.commands.map(({ record }) => record.commandId)).toEqual(['root-rate-before']);
    expect(peakLearningRate(beginningOf(child.description), past.inForce)).toBe(5e-4);
  });
  it('takes over rules set before the checkpoint', async () => {
    const hub = hubOf(true);
    const rules = (afterSeq: number, state = 'applied'): CommandRecord =>
      CommandRecord.parse({
        ...{ commandId: `root-rules-${afterSeq}`, runId: 'root', action: { kind: 'set_rules', rules: [] } },
        ...{ author: 'dashboard', state, receivedMs: 1, endedMs: 1, step: 2, before: null, after: null, reason: '' },
        afterSeq,
      });
    const commands = async (runId: RunId): Promise<CommandRecord[]> => [
      ...(await hub.commands(runId)),
      ...[rules(1), rules(2, 'failed'), rules(6)],
    ];
    const takenOver = await readTakenOver(child, [root], { ...hub, commands });
    expect(takenOver.map(({ commandId }) => commandId)).toEqual(['root-rate-before', 'root-rules-1']);
  });
  it('has the stages from before the checkpoint', async () => {
    const past = await readPast(child, [root], hubOf(false));
    expect(past.stages.map(({ run, event }) => [run.runId, event.stage])).toEqual([['root', 1]]);
  });
  it('takes over changes if a run continues its checkpoint’s state, without a command', async () => {
    const goingOn = { ...child, parent: { ...child.parent!, goesOn: true } };
    const past = await readPast(goingOn, [root], hubOf(false));
    expect(peakLearningRate(beginningOf(goingOn.description), past.inForce)).toBe(5e-4);
  });
  it('takes over nothing if the branch is a new run with its own configuration', async () => {
    const past = await readPast(child, [root], hubOf(false));
    expect(past.commands).toHaveLength(1);
    expect(past.inForce).toEqual([]);
  });
});

describe('followPast', () => {
  it('fetches only the drawn courses, each once, and drops those no longer drawn', async () => {
    vi.useFakeTimers();
    const hub = hubOf(true);
    const asked: (readonly string[])[] = [];
    const history: typeof hub.history = (runId, range) => {
      asked.push(range.metrics);
      return hub.history(runId, range);
    };
    const store = new RunStore();
    const stop = followPast(store, child, [root], { ...hub, history }, (error) => expect(error).toBeUndefined());
    await vi.advanceTimersByTimeAsync(0);
    expect(store.past?.ancestors).toEqual([root]);
    expect(asked).toEqual([]);
    const release = store.demand.draw(['train/loss']);
    await vi.advanceTimersByTimeAsync(0);
    store.demand.draw(['train/loss', 'other']);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual([['train/loss'], ['other']]);
    expect([...store.courseBefore('train/loss')!.values]).toEqual([9, 8]);
    release();
    stop();
    vi.useRealTimers();
  });
});
