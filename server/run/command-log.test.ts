import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AskedCommand, Command, CommandId } from '@plumbline/shared/command';
import { CheckpointId, type RunId } from '@plumbline/shared/run';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { saved } from '../../test/support/ruled-runs.js';
import {
  aCommand,
  aRunId,
  attachment,
  eventually,
  finished,
  started,
  stepped,
  TestHub,
  type TrainerEnd,
} from '../../test/support/test-hub.js';
import { StoreUnavailableError } from '../store/event-store.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start({ trainerGraceMs: 600, commandExpiryMs: 1200 });
});
afterAll(() => hub.remove());

/** A running run whose trainer confirms commands and does nothing else. */
async function running(): Promise<{ runId: RunId; trainer: TrainerEnd; received: Command[] }> {
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  const received = listen(trainer);
  await trainer.emitWithAck('events', { events: [started()] });
  return { runId, trainer, received };
}
function listen(trainer: TrainerEnd): Command[] {
  const received: Command[] = [];
  trainer.on('command', (command, ack) => {
    received.push(command);
    ack({ ok: true });
  });
  return received;
}
const give = (command: AskedCommand) => hub.hub.runs.command(command, 'test');
const ended = (commandId: CommandId) =>
  eventually(async () => {
    const record = await hub.record(commandId);
    return record.state === 'pending' ? null : record;
  });

describe('a command ends exactly once', () => {
  it('applied, with the step and what changed', async () => {
    const { runId, trainer, received } = await running();
    const command = aCommand(runId, { kind: 'set_learning_rate', learningRate: 0.01 });
    expect(await give(command)).toMatchObject({ ...command, state: 'pending', author: 'test', endedMs: null });
    await eventually(() => (received.length === 1 ? true : null));
    const outcome = { seq: 3, step: 2, wallTimeMs: 1_700_000_000_005, commandId: command.commandId };
    await trainer.emitWithAck('events', {
      events: [
        stepped(2),
        { ...outcome, type: 'command_applied', before: { learningRate: 0.1 }, after: { learningRate: 0.01 } },
      ],
    });
    // The acknowledgement of the outcome means that the log has it.
    const record = await hub.record(command.commandId);
    expect(record).toMatchObject({
      state: 'applied',
      step: 2,
      before: { learningRate: 0.1 },
      after: { learningRate: 0.01 },
    });
    await trainer.emitWithAck('events', { events: [{ ...outcome, seq: 4, type: 'command_failed', reason: 'late' }] });
    expect(await hub.record(command.commandId)).toEqual(record);
    expect(await give(command)).toEqual(record);
    expect(received).toHaveLength(1);
  });

  it('failed, with the reason of the trainer', async () => {
    const { runId, trainer } = await running();
    const command = aCommand(runId, { kind: 'set_trainable', selection: { kind: 'pattern', pattern: 'no.such' } });
    await give(command);
    const { commandId } = command;
    await trainer.emitWithAck('events', {
      events: [
        { type: 'command_failed', seq: 2, step: 1, wallTimeMs: 1_700_000_000_005, commandId, reason: 'hits nothing' },
      ],
    });
    expect(await hub.record(commandId)).toMatchObject({ state: 'failed', step: 1, reason: 'hits nothing' });
  });

  it('rejected by what the run is, never sent, and the same for the same id', async () => {
    const { runId, received } = await running();
    const command = aCommand(runId, { kind: 'resume' });
    const record = await give(command);
    expect(record).toMatchObject({ state: 'rejected', reason: 'The run is not paused.' });
    expect(await give(command)).toEqual(record);
    expect(received).toEqual([]);
    expect(await hub.hub.runs.store.commands(runId)).toEqual([record]);
  });

  it('expired when no trainer confirms it in time', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    let sent = 0;
    trainer.on('command', () => sent++);
    await trainer.emitWithAck('events', { events: [started()] });
    const command = aCommand(runId, { kind: 'evaluate_now' });
    await give(command);
    expect(await ended(command.commandId)).toMatchObject({
      state: 'expired',
      reason: expect.stringContaining('1.2 s'),
    });
    expect(sent).toBe(1);
    listen(await hub.attached(runId));
    expect(await hub.record(command.commandId)).toMatchObject({ state: 'expired' });
  });

  it('failed when the run ends before it, whether the trainer says so or dies', async () => {
    const first = await running();
    const late = aCommand(first.runId, { kind: 'save_checkpoint' });
    await give(late);
    await first.trainer.emitWithAck('events', { events: [finished(2)] });
    expect(await hub.record(late.commandId)).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('ended'),
    });

    const second = await running();
    const lost = aCommand(second.runId, { kind: 'pause' });
    await give(lost);
    await eventually(() => (second.received.length > 0 ? true : null));
    second.trainer.disconnect();
    expect(await ended(lost.commandId)).toMatchObject({ state: 'failed', reason: expect.stringContaining('lost') });
  });

  it('rejected when the run ends during the look-up', async () => {
    const { runId, trainer } = await running();
    const { store } = hub.hub.runs;
    const command = aCommand(runId, { kind: 'save_checkpoint' });
    const { command: find } = store;
    // The store answers once the run has ended.
    store.command = async (id) => {
      store.command = find;
      const answer = find(id);
      await trainer.emitWithAck('events', { events: [finished(2)] });
      return answer;
    };
    const record = await give(command);
    expect(record).toMatchObject({ state: 'rejected', reason: expect.stringContaining('ended (finished)') });
    expect(await hub.record(command.commandId)).toEqual(record);
  });

  it('applied, if the log could not be written and the trainer attaches again without a repeat of its report', async () => {
    const { runId, trainer } = await running();
    const command = aCommand(runId, { kind: 'set_learning_rate', learningRate: 0.01 });
    await give(command);
    const { store } = hub.hub.runs;
    const { putCommand } = store;
    store.putCommand = () => Promise.reject(new StoreUnavailableError('The disk is full.'));
    const report: WireEvent = {
      type: 'command_applied',
      ...{ seq: 2, step: 1, wallTimeMs: 1_700_000_000_005, commandId: command.commandId },
      ...{ before: {}, after: { learning_rate: 0.01 } },
    };
    expect(await trainer.emitWithAck('events', { events: [report] })).toMatchObject({ ok: false });
    store.putCommand = putCommand;
    const again = hub.trainer();
    const received = listen(again);
    // The report is stored: the trainer goes on after it.
    expect(await again.emitWithAck('attach', attachment(runId))).toMatchObject({ ok: true, lastSeq: 2 });
    expect(await again.emitWithAck('events', { events: [stepped(3), finished(4)] })).toMatchObject({ ok: true });
    expect(await ended(command.commandId)).toMatchObject({ state: 'applied', step: 1, after: { learning_rate: 0.01 } });
    expect(received).toEqual([]);
  });

  it('failed when the run ends during the write', async () => {
    const { runId, trainer } = await running();
    const { store } = hub.hub.runs;
    const command = aCommand(runId, { kind: 'save_checkpoint' });
    const { putCommand } = store;
    let ending: Promise<object> | undefined;
    store.putCommand = (record) => {
      store.putCommand = putCommand;
      ending = trainer.emitWithAck('events', { events: [finished(2)] });
      return putCommand(record);
    };
    await give(command);
    expect(await ending).toEqual({ ok: true, lastSeq: 2 });
    expect(await hub.record(command.commandId)).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('ended (finished)'),
    });
  });

  it('ended once if a repeat is looked up before the run ends and handled after it', async () => {
    const { runId, trainer } = await running();
    const command = aCommand(runId, { kind: 'pause' });
    const ends: string[] = [];
    hub.hub.runs.on('command', ({ commandId, state }) => commandId === command.commandId && ends.push(state));
    await hub.hub.runs.command(command, 'dashboard');
    const { store } = hub.hub.runs;
    const { putCommand } = store;
    let twin: Promise<object> | undefined;
    store.putCommand = (record) => {
      store.putCommand = putCommand;
      // It finds the command open, and waits for its turn.
      twin = give(command);
      return putCommand(record);
    };
    await trainer.emitWithAck('events', { events: [finished(2)] });
    expect(await twin).toMatchObject({ state: 'failed' });
    expect(ends).toEqual(['pending', 'failed']);
  });

  it('taken once when a repeat arrives at the same moment', async () => {
    const { runId, trainer } = await running();
    const command = aCommand(runId, { kind: 'pause' });
    const [one, other] = await Promise.all([give(command), give(command)]);
    expect(one).toEqual(other);
    const paused = {
      seq: 3,
      step: 0,
      wallTimeMs: 1_700_000_000_005,
      commandId: command.commandId,
      before: {},
      after: {},
    };
    await trainer.emitWithAck('events', {
      events: [
        { type: 'run_paused', seq: 2, step: 0, wallTimeMs: 1_700_000_000_005, reason: '' },
        { ...paused, type: 'command_applied' },
      ],
    });
    expect(await hub.hub.runs.store.commands(runId)).toHaveLength(1);
  });
});

describe('a command that the hub gave up', () => {
  it('is recorded as what its trainer says later became of it', async () => {
    const { runId, trainer, received } = await running();
    const command = aCommand(runId, { kind: 'pause' });
    await give(command);
    await eventually(() => (received.length > 0 ? true : null));
    trainer.disconnect();
    expect(await ended(command.commandId)).toMatchObject({ state: 'failed', step: null });
    const back = await hub.attached(runId);
    const said = {
      seq: 2,
      step: 4,
      wallTimeMs: 1_700_000_000_005,
      commandId: command.commandId,
      before: {},
      after: { paused: true },
    };
    await back.emitWithAck('events', { events: [{ ...said, type: 'command_applied' }] });
    expect(await hub.record(command.commandId)).toMatchObject({ state: 'applied', step: 4, reason: '' });
  });
});

describe('a store that fails between an event and its record', () => {
  it('leaves the command open, and the batch that comes again closes it', async () => {
    const { runId, trainer } = await running();
    const command = aCommand(runId, { kind: 'pause' });
    await give(command);
    const { store } = hub.hub.runs;
    const { putCommand } = store;
    store.putCommand = () => Promise.reject(new StoreUnavailableError('The disk is full.'));
    const said = {
      seq: 2,
      step: 4,
      wallTimeMs: 1_700_000_000_005,
      commandId: command.commandId,
      before: {},
      after: {},
    };
    const batch = { events: [{ ...said, type: 'command_applied' as const }] };
    expect(await trainer.emitWithAck('events', batch)).toMatchObject({ ok: false, error: { code: 'store_failed' } });
    store.putCommand = putCommand;
    expect(await trainer.emitWithAck('events', batch)).toMatchObject({ ok: true, lastSeq: 2 });
    expect(await hub.record(command.commandId)).toMatchObject({ state: 'applied', step: 4 });
  });
});

describe('open commands', () => {
  it('are sent again to a trainer that comes back, in the order they were given', async () => {
    const { runId, trainer } = await running();
    const commands = [aCommand(runId, { kind: 'pause' }), aCommand(runId, { kind: 'resume' })];
    for (const command of commands) expect(await give(command)).toMatchObject({ state: 'pending' });
    trainer.disconnect();
    await hub.until(runId, (run) => !run.trainerConnected);
    const back = hub.trainer();
    const received = listen(back);
    await back.emitWithAck('attach', { runId, run: (await hub.hub.runs.get(runId)).description, parent: null });
    await eventually(() => (received.length === 2 ? true : null));
    expect(received.map(({ commandId }) => commandId)).toEqual(commands.map(({ commandId }) => commandId));
  });

  it('survive a restart of the hub; an outcome stored without its record closes it', async () => {
    const { runId } = await running();
    const open = aCommand(runId, { kind: 'evaluate_now' });
    const told = aCommand(runId, { kind: 'save_checkpoint' });
    await give(open);
    await give(told);
    // As if the hub had died between the two writes: the event is stored, the record is not.
    const { store } = hub.hub.runs;
    await store.append(runId, [
      {
        type: 'command_applied',
        seq: 2,
        step: 0,
        wallTimeMs: 1_700_000_000_001,
        commandId: told.commandId,
        before: {},
        after: {},
      },
    ]);
    await hub.restart();
    expect(await hub.record(told.commandId)).toMatchObject({ state: 'applied', step: 0 });
    const trainer = hub.trainer();
    const received = listen(trainer);
    await trainer.emitWithAck('attach', { runId, run: (await hub.hub.runs.get(runId)).description, parent: null });
    await eventually(() => (received.length > 0 ? true : null));
    expect(received.map(({ commandId }) => commandId)).toEqual([open.commandId]);
  });
});

describe('restore_checkpoint', () => {
  it('gets a branch id from the hub, and is rejected for a checkpoint that the run does not have', async () => {
    const { runId, trainer, received } = await running();
    const checkpointId = CheckpointId.parse('step-2');
    expect(await give(aCommand(runId, { kind: 'restore_checkpoint', checkpointId }))).toMatchObject({
      state: 'rejected',
      reason: expect.stringContaining(`The run ${runId} has no checkpoint step-2`),
    });
    await trainer.emitWithAck('events', {
      events: [saved(2, 2)],
    });
    const { action } = await give(aCommand(runId, { kind: 'restore_checkpoint', checkpointId }));
    expect(action).toMatchObject({
      kind: 'restore_checkpoint',
      branchRunId: expect.stringMatching(/^test-[0-9a-f]{6}$/),
    });
    await eventually(() => (received.length > 0 ? true : null));
    expect(received[0]!.action).toEqual(action);
  });

  it('is rejected for a branch under the id of a run that there is', async () => {
    const other = aRunId();
    await hub.attached(other);
    const { runId, trainer } = await running();
    const checkpointId = CheckpointId.parse('step-2');
    await trainer.emitWithAck('events', {
      events: [saved(2, 2)],
    });
    for (const branchRunId of [other, runId])
      expect(await give(aCommand(runId, { kind: 'restore_checkpoint', checkpointId, branchRunId }))).toMatchObject({
        state: 'rejected',
        reason: `There is a run ${branchRunId} already: choose another id for the branch.`,
      });
    const free = aRunId();
    expect(await give(aCommand(runId, { kind: 'restore_checkpoint', checkpointId, branchRunId: free }))).toMatchObject({
      state: 'pending',
      action: { branchRunId: free },
    });
  });

  it('is rejected for a checkpoint that was removed since', async () => {
    const { runId, trainer } = await running();
    const checkpointId = CheckpointId.parse('step-2');
    await trainer.emitWithAck('events', {
      events: [
        saved(2, 2),
        { type: 'checkpoint_removed', seq: 3, step: 4, wallTimeMs: 1_700_000_000_002, checkpointId },
      ],
    });
    expect(await give(aCommand(runId, { kind: 'restore_checkpoint', checkpointId }))).toMatchObject({
      state: 'rejected',
    });
  });
});
