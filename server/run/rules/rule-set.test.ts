import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GuardRule } from '@plumbline/shared/rule';
import type { RunId } from '@plumbline/shared/run';
import { firedAt, losses, rule, ruledRuns } from '../../../test/support/ruled-runs.js';
import { aCommand, aRunId, eventually, TestHub } from '../../../test/support/test-hub.js';
import { StoreUnavailableError } from '../../store/event-store.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());
const { attach, running, send, log, logged, states, stands } = ruledRuns(() => hub);

const command = (runId: RunId, rules: GuardRule[]) => aCommand(runId, { kind: 'set_rules', rules });
/** Sets rules as the dashboard does. */
async function set(runId: RunId, rules: GuardRule[], given = command(runId, rules)) {
  const answer = await hub.dashboard(await hub.cookie()).emitWithAck('command', given);
  return answer.ok ? answer.record : answer.error;
}
const other = rule({ name: 'other', condition: { kind: 'threshold', side: 'above', value: 5 } });

describe('rules that are set in mid-run', () => {
  it('watch from then on, and are in the audit log', async () => {
    const { runId, trainer } = await running([]);
    const seen: string[][] = [];
    const dashboard = hub.dashboard();
    dashboard.on('rules', (message) => seen.push(message.rules.map(({ rule: { name } }) => name)));
    await dashboard.emitWithAck('watch', { runId });
    await send(trainer, losses(2, 2, 2));
    expect(await set(runId, [rule()])).toMatchObject({
      ...{ state: 'applied', author: 'dashboard', step: 3, afterSeq: 3, after: { added: 'high loss' } },
      action: { kind: 'set_rules', rules: [rule()] },
    });
    await eventually(() => (seen.length > 0 ? true : null));
    expect(seen).toEqual([['high loss']]);
    // What was before is not counted.
    await send(trainer, losses(4, 2, 2));
    expect(await logged(runId, 2)).toMatchObject([{ action: { kind: 'set_rules' } }, { commandId: firedAt(runId, 5) }]);
  });

  it('keep unchanged rules, restart changed ones and remove missing ones', async () => {
    const { runId, trainer } = await running([rule(), other, rule({ name: 'third' })]);
    await send(trainer, losses(2, 9, 9));
    await logged(runId, 3);
    const changed = { ...other, rearmMargin: 1 };
    expect(await set(runId, [rule(), changed])).toMatchObject({ after: { changed: 'other', removed: 'third' } });
    expect(await states(runId)).toMatchObject([
      { rule: rule(), armed: false, firings: 1 },
      { rule: changed, armed: true, firings: 0 },
    ]);
    await send(trainer, losses(4, 9));
    const records = await logged(runId, 5);
    expect(records.slice(4)).toMatchObject([{ author: 'rule:other' }]);
    // A run that is over has its rules as they were in the end.
    await send(trainer, [{ type: 'run_finished', seq: 5, step: 5, wallTimeMs: 1_700_000_000_001 }]);
    expect(await states(runId)).toMatchObject([{ firings: 1 }, { firings: 1, last: { step: 4 } }]);
  });

  it('survive a restart, although the trainer attaches with its first configuration', async () => {
    const { runId, trainer } = await running([other]);
    await send(trainer, losses(2, 9, 2));
    await logged(runId, 1);
    await set(runId, [rule()]);
    await send(trainer, losses(4, 2));
    await hub.restart();
    const back = await attach(runId, [other]);
    expect(await states(runId)).toMatchObject([{ rule: rule(), armed: true, firings: 0 }]);
    // One was counted before the restart.
    await send(back.trainer, losses(5, 9));
    expect((await logged(runId, 3)).map(({ author }) => author)).toEqual(['rule:other', 'dashboard', 'rule:high loss']);
    await hub.restart();
    await stands(runId, false, 1);
    expect(await log(runId)).toHaveLength(3);
  });

  it('are set once by a repeated command', async () => {
    const { runId } = await running([]);
    const first = command(runId, [rule()]);
    const [one, twin] = await Promise.all([set(runId, [], first), set(runId, [], first)]);
    expect(twin).toEqual(one);
    await set(runId, [other]);
    expect(await set(runId, [], first)).toEqual(one);
    expect(await states(runId)).toMatchObject([{ rule: other }]);
    expect(await log(runId)).toHaveLength(2);
  });

  it('drop the pending commands of removed rules, also after a restart', async () => {
    const back = rule({
      ...{ name: 'back', condition: { kind: 'threshold', side: 'above', value: 1 } },
      actions: [{ kind: 'restore_best_checkpoint', metric: 'held_out/mean/accuracy', better: 'higher' }],
    });
    const { runId, trainer } = await running([back]);
    await send(trainer, losses(2, 0));
    await eventually(async () => ((await states(runId))[0]?.armed ? true : null));
    const { store } = hub.hub.runs;
    const { history } = store;
    let refusals = 0;
    store.history = () => Promise.reject(new StoreUnavailableError(`Away for the ${++refusals}th time.`));
    await send(trainer, losses(3, 2));
    await eventually(() => (refusals > 0 ? true : null));
    await set(runId, []);
    store.history = history;
    await send(trainer, losses(4, 2));
    // After all that is done about the events before.
    await set(runId, [other]);
    const kinds = async () => (await log(runId)).map(({ action }) => action.kind);
    expect(await kinds()).toEqual(['set_rules', 'set_rules']);
    await hub.restart();
    await attach(runId, [back]);
    await set(runId, [back]);
    expect(await kinds()).toEqual(['set_rules', 'set_rules', 'set_rules']);
  });

  it('name one moment: the step of the last event that those before have judged', async () => {
    const { runId, trainer } = await running([]);
    await send(trainer, losses(2, 0, 0));
    const { store } = hub.hub.runs;
    const { command: find } = store;
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    let isAsked = false;
    store.command = async (id) => {
      isAsked = true;
      await released;
      return find(id);
    };
    const setting = set(runId, [rule()]);
    await eventually(() => isAsked || null);
    await send(trainer, losses(4, 0, 0));
    release();
    expect(await setting).toMatchObject({ step: 5, afterSeq: 5 });
    store.command = find;
  });

  it('are those in the log after a failed write that was done', async () => {
    const { runId, trainer } = await running([]);
    const { store } = hub.hub.runs;
    const { putCommand } = store;
    store.putCommand = async (record) => {
      await putCommand(record);
      throw new StoreUnavailableError('The disk is full.');
    };
    const given = command(runId, [rule()]);
    expect(await set(runId, [], given)).toMatchObject({ code: 'store_failed' });
    store.putCommand = putCommand;
    expect(await set(runId, [], given)).toMatchObject({ state: 'applied' });
    await send(trainer, losses(2, 2, 2));
    expect((await logged(runId, 2)).map(({ commandId }) => commandId)).toEqual([given.commandId, firedAt(runId, 3)]);
    expect(await states(runId)).toMatchObject([{ rule: rule(), firings: 1 }]);
  });

  it('may be none', async () => {
    const { runId, trainer } = await running();
    expect(await set(runId, [])).toMatchObject({ state: 'applied', after: { removed: 'high loss' } });
    await send(trainer, losses(2, 2, 2, 2));
    expect(await states(runId)).toEqual([]);
    expect(await log(runId)).toHaveLength(1);
  });
});

describe('rules are not set', () => {
  it('if other rules are in force than those to replace', async () => {
    const { runId } = await running();
    const replacing = (replaces: GuardRule[], rules: GuardRule[]) =>
      set(runId, [], aCommand(runId, { kind: 'set_rules', rules, replaces }));
    expect(await replacing([rule()], [rule(), other])).toMatchObject({ state: 'applied', after: { added: 'other' } });
    // Another person, who had the form open before that.
    expect(await replacing([rule()], [])).toMatchObject({
      ...{
        state: 'rejected',
        reason: expect.stringMatching(/^The rules were changed meanwhile, by dashboard at step 0:/),
      },
    });
    expect((await states(runId)).map((state) => state.rule)).toEqual([rule(), other]);
    expect(await replacing([rule(), other], [other])).toMatchObject({ state: 'applied' });
    expect((await states(runId)).map((state) => state.rule)).toEqual([other]);
    expect((await log(runId)).map(({ state, action }) => [state, 'replaces' in action])).toEqual([
      ...[
        ['applied', false],
        ['rejected', false],
        ['applied', false],
      ],
    ]);
  });

  it('by whoever may only watch', async () => {
    const { runId } = await running([]);
    expect(await hub.dashboard().emitWithAck('command', command(runId, [rule()]))).toMatchObject({
      error: { code: 'forbidden' },
    });
    expect(await states(runId)).toEqual([]);
  });

  it('that the schema or the hub’s settings do not allow', async () => {
    const { runId } = await running();
    expect(await set(runId, [rule(), rule()])).toMatchObject({
      ...{ code: 'invalid', message: expect.stringContaining('two rules are called "high loss"') },
    });
    expect(await set(runId, undefined as never)).toMatchObject({ code: 'invalid' });
    const loud = rule({ actions: [{ kind: 'notify', url: 'https://hooks.example.org/x' }] });
    expect(await set(runId, [loud])).toMatchObject({
      ...{ state: 'rejected', reason: expect.stringMatching(/"high loss" cannot notify.*PLUMBLINE_WEBHOOK_SECRET/) },
    });
    expect(await states(runId)).toMatchObject([{ rule: rule() }]);
  });

  it('of a run that has ended', async () => {
    const { runId, trainer } = await running();
    await send(trainer, [{ type: 'run_finished', seq: 2, step: 1, wallTimeMs: 1_700_000_000_001 }]);
    expect(await set(runId, [])).toMatchObject({
      ...{ state: 'rejected', reason: 'The run has ended (finished); it takes no more commands.' },
    });
  });

  it('before that is durable', async () => {
    const { runId, trainer } = await running();
    const { store } = hub.hub.runs;
    const { putCommand } = store;
    store.putCommand = () => Promise.reject(new StoreUnavailableError('The disk is full.'));
    expect(await set(runId, [])).toMatchObject({ code: 'store_failed' });
    store.putCommand = putCommand;
    await send(trainer, losses(2, 2, 2));
    expect(await logged(runId, 1)).toMatchObject([{ commandId: firedAt(runId, 3) }]);
  });

  it('of a missing run', async () => {
    expect(await set(aRunId(), [])).toMatchObject({ code: 'not_found' });
  });
});
