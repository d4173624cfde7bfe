import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AskedAction, Command } from '@plumbline/shared/command';
import type { CommandResponse, CommandsResponse, EvaluationsResponse } from '@plumbline/shared/http';
import type { RunId } from '@plumbline/shared/run';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { aRunId, started, stepped, TestHub, type TrainerEnd } from '../../test/support/test-hub.js';

let hub: TestHub;
let runId: RunId;
let trainer: TrainerEnd;
/** What the trainer was sent. */
let sent: Command[];
let lastSeq: number;

beforeEach(async () => {
  hub = await TestHub.start();
  runId = aRunId();
  trainer = await hub.attached(runId);
  sent = [];
  trainer.on('command', (command, ack) => {
    sent.push(command);
    ack({ ok: true });
  });
  await trainer.emitWithAck('events', { events: [started(1), stepped(2)] });
  lastSeq = 2;
});
afterEach(() => hub.remove());

/** What the trainer says next. */
const say = (event: object): Promise<unknown> =>
  trainer.emitWithAck('events', {
    events: [{ seq: ++lastSeq, step: lastSeq, wallTimeMs: 1_700_000_000_001, ...event } as WireEvent],
  });
const applied = ({ commandId }: Command) =>
  say({ type: 'command_applied', commandId, before: { learning_rate: 0.1 }, after: { learning_rate: 0.2 } });
const bearer = () => ({ authorization: `Bearer ${hub.token}` });
const asked = (action: AskedAction = { kind: 'pause' }) => ({ commandId: randomUUID(), action });
const give = (command: object, headers: Record<string, string> = bearer(), query = '', to: string = runId) =>
  hub.request('POST', `/runs/${to}/commands${query}`, command, headers);
const commandOf = async (response: Response) => ((await response.json()) as CommandResponse).command;
const log = async () => (await hub.get<CommandsResponse>(`/runs/${runId}/commands`)).commands;
const error = async (response: Response) =>
  ((await response.json()) as { error: { code: string; message: string } }).error;

describe('who may give commands', () => {
  it('a program that shows the token, our command line and a browser with a session; the log says which', async () => {
    expect((await give(asked({ kind: 'save_checkpoint' }))).status).toBe(202);
    await give(asked({ kind: 'save_checkpoint' }), { ...bearer(), 'user-agent': 'plumbline-cli/0.1.0' });
    await give(asked({ kind: 'save_checkpoint' }), { cookie: await hub.cookie(), origin: hub.url });
    expect((await log()).map(({ author }) => author)).toEqual(['api', 'cli', 'dashboard']);
  });

  it('nobody else: no session, a wrong token, a page of another origin, a body that is no JSON', async () => {
    const cookie = await hub.cookie();
    const none = await give(asked(), {});
    expect(none.status).toBe(403);
    expect((await error(none)).message).toMatch(/Authorization: Bearer.*trainer-token/);
    const browser = await give(asked(), { origin: hub.url });
    expect(browser.status).toBe(403);
    expect((await error(browser)).message).toMatch(/This browser may only watch/);
    const wrong = await give(asked(), { authorization: `Bearer ${'x'.repeat(43)}`, cookie });
    expect(wrong.status).toBe(401);
    const foreign = await give(asked(), { cookie, origin: 'http://evil.test' });
    expect(foreign.status).toBe(403);
    // What a form of another page can send without asking first.
    const form = await fetch(`${hub.url}/api/runs/${runId}/commands`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'text/plain' },
      body: JSON.stringify(asked()),
    });
    expect(form.status).toBe(400);
    expect((await error(form)).message).toContain('Content-Type: application/json');
    expect(await log()).toEqual([]);
    expect(sent).toEqual([]);
  });
});

describe('a command', () => {
  it('is answered at once as pending, or with its end when that is waited for', async () => {
    const command = asked({ kind: 'set_learning_rate', learningRate: 0.2 });
    const first = await give(command);
    expect(first.status).toBe(202);
    expect(await commandOf(first)).toMatchObject({ commandId: command.commandId, runId, state: 'pending' });
    const waiting = give(command, bearer(), '?waitMs=30000');
    await until(() => sent.length === 1);
    await applied(sent[0]!);
    const ended = await waiting;
    expect(ended.status).toBe(200);
    const record = await commandOf(ended);
    expect(record).toMatchObject({ state: 'applied', before: { learning_rate: 0.1 }, after: { learning_rate: 0.2 } });
    const read = await hub.request('GET', `/runs/${runId}/commands/${command.commandId}?waitMs=30000`);
    expect([read.status, await commandOf(read)]).toEqual([200, record]);
  });

  it('is answered as pending when the time that it is waited for runs out, and the hub goes on', async () => {
    const command = asked({ kind: 'set_learning_rate', learningRate: 0.2 });
    expect((await give(command)).status).toBe(202);
    await until(() => sent.length === 1);
    // Waits of any length end in a part of a millisecond.
    for (const waitMs of [1, 7, 50, 300]) {
      const answer = await hub.request('GET', `/runs/${runId}/commands/${command.commandId}?waitMs=${waitMs}`);
      expect([answer.status, (await commandOf(answer)).state]).toEqual([202, 'pending']);
    }
    await applied(sent[0]!);
  });

  it('is carried out once however often it comes: again, pipelined, from two programs', async () => {
    const command = asked({ kind: 'set_learning_rate', learningRate: 0.2 });
    const session = { cookie: await hub.cookie(), origin: hub.url };
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => give(command, index % 2 === 0 ? bearer() : session)),
    );
    const records = await Promise.all(answers.map(commandOf));
    expect(new Set(records.map((record) => JSON.stringify(record))).size).toBe(1);
    await until(() => sent.length > 0);
    await applied(sent[0]!);
    const later = await give(command);
    expect(later.status).toBe(200);
    expect(await commandOf(later)).toMatchObject({ state: 'applied', action: { kind: 'set_learning_rate' } });
    // A trainer may be sent it more than once and takes an id once.
    expect(new Set(sent.map(({ commandId }) => commandId)).size).toBe(1);
    expect(new Set(sent.map(({ action }) => action.kind))).toEqual(new Set(['set_learning_rate']));
    expect(await log()).toHaveLength(1);
  });

  it('under the id of another action is refused, over REST and the socket, and the first one stays', async () => {
    const command = asked({ kind: 'set_learning_rate', learningRate: 0.2 });
    await give(command);
    await until(() => sent.length > 0);
    for (const when of ['pending', 'applied']) {
      const stop = await give({ ...command, action: { kind: 'stop' } });
      expect([when, stop.status]).toEqual([when, 409]);
      expect((await error(stop)).message).toBe(
        `The command id ${command.commandId} was used for another command, set_learning_rate, before. Make a new id.`,
      );
      const rules = await give({ ...command, action: { kind: 'set_rules', rules: [] } });
      expect([when, rules.status]).toEqual([when, 409]);
      const other = { ...command, runId, action: { kind: 'set_learning_rate', learningRate: 0.3 } };
      expect(await hub.dashboard(await hub.cookie()).emitWithAck('command', other as never)).toMatchObject({
        ok: false,
        error: { code: 'conflict', message: expect.stringContaining('set_learning_rate with other arguments') },
      });
      expect(await commandOf(await give(command))).toMatchObject({ state: when, action: command.action });
      if (when === 'pending') await applied(sent[0]!);
    }
    expect(await log()).toHaveLength(1);
  });

  it('that the hub completes is the same one when it comes again', async () => {
    await say({ type: 'checkpoint_saved', checkpointId: 'step-2', bytes: 1, digest: '' });
    const command = asked({ kind: 'restore_checkpoint', checkpointId: 'step-2' as never });
    const first = await commandOf(await give(command));
    expect(first.action).toMatchObject({ branchRunId: expect.any(String) });
    expect(await commandOf(await give(command))).toEqual(first);
    const rules = asked({ kind: 'set_rules', rules: [], replaces: [] });
    const set = await commandOf(await give(rules));
    expect(set.state).toBe('applied');
    expect(await commandOf(await give(rules))).toEqual(set);
  });

  it('that its run cannot take is answered with why', async () => {
    const answer = await give(asked({ kind: 'resume' }), bearer(), '?waitMs=30000');
    expect(answer.status).toBe(200);
    expect(await commandOf(answer)).toMatchObject({ state: 'rejected', reason: 'The run is not paused.' });
  });

  it('is for the run of its address', async () => {
    const other = aRunId();
    await hub.attached(other);
    const command = asked();
    expect((await give({ ...command, runId: other })).status).toBe(400);
    expect((await give({ ...command, runId })).status).toBe(202);
    const taken = await give(command, bearer(), '', other);
    expect(taken.status).toBe(409);
    expect((await error(taken)).message).toContain(`used for the run ${runId} before`);
    expect((await hub.request('GET', `/runs/${other}/commands/${command.commandId}`)).status).toBe(404);
    expect((await give(asked(), bearer(), '', aRunId())).status).toBe(404);
  });

  it.each([
    ['no id', { action: { kind: 'pause' } }, ''],
    ['an unknown action', { commandId: 'command-1', action: { kind: 'explode' } }, ''],
    ['an endless wait', { commandId: 'command-1', action: { kind: 'pause' } }, '?waitMs=600000'],
  ])('with %s is refused and leaves no trace', async (_, command, query) => {
    expect((await give(command, bearer(), query)).status).toBe(400);
    expect(await log()).toEqual([]);
  });

  it('that is waited for is answered when the hub is being stopped', async () => {
    const waiting = give(asked(), bearer(), '?waitMs=60000');
    await until(() => sent.length === 1);
    hub.hub.runs.drain.start();
    const answer = await waiting;
    expect([answer.status, (await commandOf(answer)).state]).toEqual([202, 'pending']);
  });
});

describe('who may start runs', () => {
  it('a program that shows the token may, as it may steer them; without one it is told what to show', async () => {
    // The start is refused for what it asks, not for who asks.
    const wrong = { config: { name: 'x', steps: 0 } };
    expect((await hub.request('POST', '/runs', wrong, bearer())).status).toBe(400);
    expect((await error(await hub.request('POST', '/runs', wrong))).message).toMatch(/trainer token/);
    expect((await hub.request('POST', '/runs', wrong, { authorization: 'Bearer no' })).status).toBe(401);
  });
  it('to delete one takes a session, which a program is told', async () => {
    const answer = await hub.request('DELETE', `/runs/${runId}`, undefined, bearer());
    expect(answer.status).toBe(403);
    expect((await error(answer)).message).toMatch(/takes a session; the trainer token is not enough/);
  });
});

it('serves evaluations by task', async () => {
  const right = (counting: string) => ({ counting });
  await say({ type: 'evaluation_completed', stage: null, weight: null, right: right('1100') });
  await say({ type: 'evaluation_completed', stage: 0, weight: null, right: right('1011') });
  await say({ type: 'evaluation_completed', stage: 0, weight: 0.5, right: right('1100') });
  const answer = await hub.get<EvaluationsResponse>(`/runs/${runId}/evaluations`);
  expect(answer).toMatchObject({ runId, level: 0.95, tasks: [{ task: 'counting' }] });
  expect(
    answer.tasks[0]!.evaluations.map(({ stage, weight, right, asked, againstBase }) => [
      ...[stage, weight, right, asked],
      againstBase?.estimate,
    ]),
  ).toEqual([
    [null, null, 2, 4, undefined],
    [0, null, 3, 4, 25],
    [0, 0.5, 2, 4, 0],
  ]);
  expect((await hub.request('GET', `/runs/${aRunId()}/evaluations`)).status).toBe(404);
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}
