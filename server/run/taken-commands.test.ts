import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Command } from '@plumbline/shared/command';
import { GuardRule } from '@plumbline/shared/rule';
import { aCommand, aRunId, attachment, eventually, started, stepped, TestHub } from '../../test/support/test-hub.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());

/** A run whose trainer takes these kinds of commands, and what it is sent. */
async function runOf(commands?: string[]) {
  const runId = aRunId();
  const trainer = hub.trainer();
  const received: Command[] = [];
  trainer.on('command', (command, ack) => {
    received.push(command);
    ack({ ok: true });
  });
  await trainer.emitWithAck('attach', { ...attachment(runId), ...(commands && { commands }) });
  await trainer.emitWithAck('events', { events: [started()] });
  return { runId, trainer, received };
}

it('a trainer gets only the kinds of commands that it lists; other kinds are rejected with the list', async () => {
  const { runId, received } = await runOf(['pause', 'stop', 'a_kind_of_its_own']);
  expect((await hub.hub.runs.get(runId)).commands).toEqual(['pause', 'stop', 'a_kind_of_its_own']);
  const rejected = await hub.hub.runs.command(aCommand(runId, { kind: 'evaluate_now' }), 'api');
  expect(rejected).toMatchObject({
    state: 'rejected',
    reason: 'This trainer does not take evaluate_now; it takes pause, stop, a_kind_of_its_own.',
  });
  expect(await hub.hub.runs.command(aCommand(runId, { kind: 'pause' }), 'api')).toMatchObject({ state: 'pending' });
  await eventually(() => (received.length > 0 ? true : null));
  expect(received.map(({ action }) => action.kind)).toEqual(['pause']);
});

it('rules are the hub’s own: they may be set, and what they ask of the trainer is rejected where it does not take it', async () => {
  const { runId, trainer, received } = await runOf(['stop']);
  const rule = GuardRule.parse({
    name: 'high loss',
    metric: 'train/loss',
    condition: { kind: 'threshold', side: 'above', value: -1 },
    actions: [{ kind: 'save_checkpoint' }],
  });
  const set = await hub.hub.runs.command(aCommand(runId, { kind: 'set_rules', rules: [rule] }), 'api');
  expect(set.state).toBe('applied');
  await trainer.emitWithAck('events', { events: [stepped(2)] });
  const records = await eventually(async () => {
    const all = await hub.hub.runs.store.commands(runId);
    return all.length > 1 ? all : null;
  });
  expect(records[1]).toMatchObject({
    author: 'rule:high loss',
    state: 'rejected',
    reason: expect.stringMatching(/does not take save_checkpoint/) as string,
  });
  expect(received).toEqual([]);
});

it('a trainer that lists no kinds gets all; an open command that the next trainer does not take fails', async () => {
  const { runId, trainer } = await runOf();
  trainer.disconnect();
  await hub.until(runId, ({ trainerConnected }) => !trainerConnected);
  const command = aCommand(runId, { kind: 'step_once' });
  await hub.hub.runs.command(aCommand(runId, { kind: 'pause' }), 'api');
  expect(await hub.hub.runs.command(command, 'api')).toMatchObject({ state: 'pending' });
  const next = hub.trainer();
  await next.emitWithAck('attach', { ...attachment(runId), commands: ['pause'] });
  expect(await hub.record(command.commandId)).toMatchObject({
    state: 'failed',
    reason: 'This trainer does not take step_once; it takes pause.',
  });
});

it('a run whose trainer takes no stop can be ended at once', async () => {
  const { runId } = await runOf([]);
  expect(await hub.hub.runs.command(aCommand(runId, { kind: 'stop' }), 'api')).toMatchObject({
    reason: 'This trainer does not take stop; it takes no commands.',
  });
  expect(await hub.hub.runs.command(aCommand(runId, { kind: 'end_run' }), 'api')).toMatchObject({ state: 'applied' });
});
