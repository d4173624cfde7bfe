import { describe, expect, it } from 'vitest';
import { CommandId, type Command, type CommandAction } from '@plumbline/shared/command';
import { CheckpointId, RunId } from '@plumbline/shared/run';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';
import { CommandError, ControlPoint, type Applied, type Steered } from './control-point.js';

let made = 0;
const command = (action: CommandAction, id = `command-${++made}`): Command => ({
  commandId: CommandId.parse(id.padEnd(8, '-')),
  runId: RunId.parse('run-1'),
  action,
});

/** A target that records its calls. */
class Target implements Steered {
  step = 5;
  leaving = false;
  readonly told: CommandAction[] = [];
  async apply(action: CommandAction): Promise<Applied> {
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (action.kind === 'set_learning_rate' && action.learningRate > 0.5) throw new CommandError('too high');
    if (action.kind === 'restore_checkpoint') this.leaving = true;
    this.told.push(action);
    return { before: { n: this.told.length - 1 }, after: { n: this.told.length } };
  }
}

function setUp(): { control: ControlPoint; target: Target; events: UnnumberedEvent[]; types: () => string[] } {
  const events: UnnumberedEvent[] = [];
  const control = new ControlPoint((event) => events.push(event));
  return { control, target: new Target(), events, types: () => events.map(({ type }) => type) };
}
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('ControlPoint', () => {
  it('lets training continue without commands', async () => {
    const { control, target, events } = setUp();
    expect(await control.serve(target)).toBe('train');
    expect(events).toEqual([]);
  });

  it('fails a command of an unknown kind', async () => {
    const { control, target, events } = setUp();
    control.take(command({ kind: 'brew_coffee' } as unknown as CommandAction));
    expect(await control.serve(target)).toBe('train');
    expect(target.told).toEqual([]);
    expect(events).toMatchObject([
      { type: 'command_failed', reason: 'This trainer does not know the command brew_coffee.' },
    ]);
  });

  it('carries out commands in arrival order, each once, with the step and before and after', async () => {
    const { control, target, events } = setUp();
    const first = command({ kind: 'set_learning_rate', learningRate: 0.1 });
    const second = command({ kind: 'save_checkpoint' });
    for (const one of [first, second, first]) control.take(one);
    await control.serve(target);
    control.take(second);
    await control.serve(target);
    expect(target.told.map(({ kind }) => kind)).toEqual(['set_learning_rate', 'save_checkpoint']);
    expect(events).toMatchObject([
      { type: 'command_applied', commandId: first.commandId, step: 5, before: { n: 0 }, after: { n: 1 } },
      { type: 'command_applied', commandId: second.commandId, step: 5, before: { n: 1 }, after: { n: 2 } },
    ]);
  });

  it('fails a command that cannot be done with the reason, and continues', async () => {
    const { control, target, events } = setUp();
    control.take(command({ kind: 'set_learning_rate', learningRate: 0.9 }));
    expect(await control.serve(target)).toBe('train');
    expect(events).toMatchObject([{ type: 'command_failed', reason: 'too high' }]);
  });

  it('waits while paused, takes commands there, and continues at resume', async () => {
    const { control, target, types } = setUp();
    control.take(command({ kind: 'pause' }));
    let decision: string | undefined;
    void control.serve(target).then((made) => (decision = made));
    await turn();
    expect(decision).toBeUndefined();
    control.take(command({ kind: 'evaluate_now' }));
    await turn();
    expect(target.told).toEqual([{ kind: 'evaluate_now' }]);
    expect(decision).toBeUndefined();
    control.take(command({ kind: 'resume' }));
    await turn();
    expect(decision).toBe('train');
    expect(types()).toEqual(['command_applied', 'run_paused', 'command_applied', 'command_applied', 'run_resumed']);
  });

  it('takes one step from a pause and is paused again', async () => {
    const { control, target, types } = setUp();
    control.take(command({ kind: 'pause' }));
    control.take(command({ kind: 'step_once' }));
    expect(await control.serve(target)).toBe('train');
    target.step++;
    let decision: string | undefined;
    void control.serve(target).then((made) => (decision = made));
    await turn();
    expect(decision).toBeUndefined();
    expect(types().filter((type) => type === 'run_paused')).toHaveLength(2);
  });

  it('refuses commands that do not fit its state', async () => {
    const { control, target, events } = setUp();
    control.take(command({ kind: 'resume' }));
    control.take(command({ kind: 'step_once' }));
    await control.serve(target);
    expect(events.map((event) => ('reason' in event ? event.reason : ''))).toEqual([
      'The run is not paused.',
      'Pause the run first; one step is taken from a pause.',
    ]);
  });

  it('stops, also from a pause, and fails commands after the stop', async () => {
    const { control, target, types } = setUp();
    control.take(command({ kind: 'pause' }));
    const served = control.serve(target);
    await turn();
    control.take(command({ kind: 'stop' }));
    control.take(command({ kind: 'save_checkpoint' }));
    expect(await served).toBe('stop');
    expect(types()).toEqual(['command_applied', 'run_paused', 'command_applied', 'command_failed']);
    expect(target.told).toEqual([]);
  });

  it('ends when its process must end, even while paused', async () => {
    const { control, target } = setUp();
    control.take(command({ kind: 'pause' }));
    const served = control.serve(target);
    await turn();
    control.requestStop('told to end');
    expect(await served).toBe('stop');
    expect(control.stopReason).toBe('told to end');
  });

  it('leaves for a branch, also from a pause', async () => {
    const { control, target } = setUp();
    control.take(command({ kind: 'pause' }));
    control.take(command({ kind: 'restore_checkpoint', checkpointId: CheckpointId.parse('step-000001') }));
    expect(await control.serve(target)).toBe('stop');
  });

  it('does not hide an error that is not a CommandError', async () => {
    const { control, target } = setUp();
    target.apply = () => Promise.reject(new TypeError('a mistake'));
    control.take(command({ kind: 'evaluate_now' }));
    await expect(control.serve(target)).rejects.toThrow('a mistake');
  });
});
