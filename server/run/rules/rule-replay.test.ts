import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GuardRule } from '@plumbline/shared/rule';
import { RunId } from '@plumbline/shared/run';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { applied, firedAt, losses, probed, rule, ruledRuns, saved } from '../../../test/support/ruled-runs.js';
import { MemoryStore } from '../../../test/support/memory-store.js';
import {
  aCommand,
  asStored,
  attachment,
  started,
  stepped,
  TestHub,
  testTimeMs,
} from '../../../test/support/test-hub.js';
import type { CommandRecord } from '@plumbline/shared/command';
import { EmbeddedStore } from '../../store/embedded-store.js';
import { AnswerTooLargeError, type StoredRun } from '../../store/event-store.js';
import type { Firing, RuleMachine } from './rule-machine.js';
import { RuleReplay } from './rule-replay.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());
const { attach, running, send, log, logged, states, stands } = ruledRuns(() => hub);

describe('a run that goes on from a checkpoint', () => {
  const lower = rule({
    ...{ name: 'high loss', condition: { kind: 'threshold', side: 'above', value: 1 } },
    actions: [{ kind: 'lower_learning_rate', factor: 0.5 }],
  });
  const ended = (seq: number, step: number): WireEvent => ({
    ...{ type: 'run_stopped', seq, step, wallTimeMs: 1_700_000_000_002, reason: 'x' },
  });
  const parentAt = (runId: RunId, step: number) => ({ runId, checkpointId: `step-${step}` as never, step });
  /** Another run that goes on from a checkpoint of this one. */
  const goOn = (runId: RunId, rules: GuardRule[], step: number) =>
    running(rules, { ...parentAt(runId, step), goesOn: true });
  const at = (seq: number, step: number, loss: number): WireEvent => ({
    ...stepped(seq, { 'train/loss': loss }),
    step,
  });

  it('keeps the states of its rules: one that had lowered the learning rate does not do so again', async () => {
    const { runId, trainer } = await running([lower]);
    await send(trainer, [at(2, 1, 2)]);
    await logged(runId, 1);
    await send(trainer, [applied(3, 1, firedAt(runId, 2)), saved(4, 2), ended(5, 2)]);
    const part = await goOn(runId, [lower], 2);
    await send(part.trainer, [at(2, 3, 2), at(3, 4, 2)]);
    expect(await stands(part.runId, false, 1)).toMatchObject({ last: { step: 1 } });
    // A part of a part, at a hub that has to read it all again.
    await send(part.trainer, [saved(4, 4), ended(5, 4)]);
    await hub.restart();
    const third = await goOn(part.runId, [lower], 4);
    await send(third.trainer, [at(2, 5, 2)]);
    await hub.restart();
    expect(await states(third.runId)).toMatchObject([{ armed: false, firings: 1, last: { step: 1 } }]);
    expect([...(await log(part.runId)), ...(await log(third.runId))]).toEqual([]);
    // Back, and past it again: once more.
    const back = await attach(third.runId, [lower], { ...parentAt(part.runId, 4), goesOn: true });
    await send(back.trainer, [at(3, 6, 0), at(4, 7, 2)]);
    expect(await logged(third.runId, 1)).toMatchObject([{ commandId: firedAt(third.runId, 4) }]);
  });

  it('ignores values after the checkpoint', async () => {
    const { runId, trainer } = await running([lower]);
    await send(trainer, [at(2, 1, 0), saved(3, 1), at(4, 2, 2)]);
    await logged(runId, 1);
    await send(trainer, [applied(5, 2, firedAt(runId, 4)), saved(6, 2), ended(7, 2)]);
    const branch = await goOn(runId, [lower], 1);
    expect(await states(branch.runId)).toMatchObject([{ armed: true, firings: 0, last: null }]);
    await send(branch.trainer, [at(2, 2, 2)]);
    expect(await logged(branch.runId, 1)).toMatchObject([{ commandId: firedAt(branch.runId, 2) }]);
  });

  it('lets a rule fire again whose change the checkpoint does not hold', async () => {
    const { runId, trainer } = await running([lower]);
    // The checkpoint of a step is saved before what its values lead to arrives.
    await send(trainer, [at(2, 1, 2), saved(3, 1)]);
    await logged(runId, 1);
    await send(trainer, [applied(4, 1, firedAt(runId, 2)), ended(5, 2)]);
    const part = await goOn(runId, [lower], 1);
    await stands(part.runId, true, 0);
    await send(part.trainer, [at(2, 2, 2)]);
    expect(await logged(part.runId, 1)).toMatchObject([{ commandId: firedAt(part.runId, 2) }]);
  });

  it('goes on counting values in a row, and counts once what is measured again at the checkpoint', async () => {
    const three = rule({ condition: { kind: 'threshold', side: 'above', value: 1, consecutive: 3 } });
    const { runId, trainer } = await running([three]);
    await send(trainer, [at(2, 1, 0), probed(3, 2, 2, 'train/loss'), saved(4, 2), at(5, 3, 0), ended(6, 3)]);
    const part = await goOn(runId, [three], 2);
    await send(part.trainer, [probed(2, 2, 2, 'train/loss'), at(3, 3, 3), at(4, 4, 4)]);
    expect(await logged(part.runId, 1)).toMatchObject([
      { commandId: firedAt(part.runId, 4), cause: expect.stringContaining('(the last values: 2, 3, 4 nats)') },
    ]);
    const without = await goOn(runId, [three], 2);
    await send(without.trainer, [at(2, 3, 3), at(3, 4, 4), at(4, 5, 0)]);
    expect(await logged(without.runId, 1)).toMatchObject([{ commandId: firedAt(without.runId, 3) }]);
  });

  it('differs from a new run at a checkpoint, whose rules are armed', async () => {
    const { runId, trainer } = await running([lower]);
    await send(trainer, [at(2, 1, 2)]);
    await logged(runId, 1);
    await send(trainer, [applied(3, 1, firedAt(runId, 2)), saved(4, 2), ended(5, 2)]);
    const fresh = await running([lower], parentAt(runId, 2));
    await send(fresh.trainer, [at(2, 3, 2)]);
    expect(await logged(fresh.runId, 1)).toMatchObject([{ commandId: firedAt(fresh.runId, 2) }]);
  });

  it('has the rules that were set since, whenever that was, unless it is configured otherwise', async () => {
    const { runId, trainer } = await running([lower]);
    await send(trainer, [at(2, 1, 2)]);
    await logged(runId, 1);
    await send(trainer, [applied(3, 1, firedAt(runId, 2)), saved(4, 2), at(5, 3, 2)]);
    const late = rule({ name: 'late' });
    await hub.hub.runs.command(aCommand(runId, { kind: 'set_rules', rules: [late, lower] }), 'dashboard');
    await send(trainer, [ended(6, 3)]);
    const branch = await goOn(runId, [lower], 2);
    expect(await states(branch.runId)).toMatchObject([
      { rule: late, armed: true, firings: 0 },
      { rule: lower, armed: false, firings: 1 },
    ]);
    await send(branch.trainer, [at(2, 3, 2), at(3, 4, 2)]);
    expect(await logged(branch.runId, 1)).toMatchObject([{ author: 'rule:late' }]);
    const asked = await goOn(runId, [lower, rule({ name: 'asked for' })], 2);
    expect((await states(asked.runId)).map(({ rule: { name }, armed }) => [name, armed])).toEqual([
      ['high loss', false],
      ['asked for', true],
    ]);
  });

  it('keeps its rules where those of a run that goes on beside it are set later', async () => {
    const { runId, trainer } = await running([lower]);
    await send(trainer, [at(2, 1, 0), saved(3, 1)]);
    const branch = await goOn(runId, [lower], 1);
    await hub.hub.runs.command(aCommand(runId, { kind: 'set_rules', rules: [] }), 'dashboard');
    await hub.restart();
    expect(await states(branch.runId)).toMatchObject([{ rule: lower, armed: true, firings: 0 }]);
    expect(await states(runId)).toEqual([]);
  });
});

describe('the rules of a run that has ended', () => {
  it('are computed once and cached', async () => {
    const { runId, trainer } = await running();
    await send(trainer, [...losses(2, 2, 2), { type: 'run_finished', seq: 4, step: 3, wallTimeMs: 1_700_000_000_001 }]);
    await hub.restart();
    const { store } = hub.hub.runs;
    const { history } = store;
    let reads = 0;
    store.history = (asked, range) => {
      if (asked === runId) reads++;
      return history(asked, range);
    };
    const first = await states(runId);
    expect(first).toMatchObject([{ armed: false, firings: 1 }]);
    expect(await states(runId)).toEqual(first);
    expect(reads).toBe(1);
  });
});

describe('a line of branches', () => {
  const lower = rule({ name: 'high loss', condition: { kind: 'threshold', side: 'above', value: 1 } });
  /** A line of runs, each of which goes on from the one before. */
  async function line(length: number) {
    const store = new MemoryStore();
    const idOf = (i: number): RunId => RunId.parse(`line-${i}`);
    for (let i = 0; i < length; i++) {
      const parent = i > 0 ? { runId: idOf(i - 1), checkpointId: 'step-1' as never, step: 1, goesOn: true } : null;
      const { run: description } = attachment(idOf(i), { rules: [lower] });
      const times = { createdMs: i, startedMs: null, endedMs: i };
      await store.createRun({
        runId: idOf(i),
        description,
        parent,
        state: 'finished',
        reason: '',
        trainer: null,
        ...times,
      });
      await store.append(idOf(i), [started(), saved(2, 1)]);
    }
    let asked = 0;
    const { eachControlEvents } = store;
    store.eachControlEvents = (...args) => {
      asked++;
      return eachControlEvents.apply(store, args);
    };
    return { store, run: async (i: number) => (await store.run(idOf(i)))!, asked: () => asked };
  }

  it('however long, is read once: a branch at its end costs no more than any other', async () => {
    const { store, run, asked } = await line(600);
    const replay = new RuleReplay(store);
    expect((await replay.of(await run(598))).hasBeginning).toBe(true);
    const before = asked();
    expect(before).toBe(599);
    await replay.of(await run(599));
    expect(asked() - before).toBe(2);
  });

  it('is followed up to a bound, beyond which it counts as unreadable', async () => {
    const { store, run } = await line(1100);
    expect((await new RuleReplay(store).of(await run(1099))).hasBeginning).toBe(false);
  });

  it('that is a cycle, as earlier hubs may have stored, terminates', async () => {
    const { store, run } = await line(3);
    const first = await run(0);
    await store.updateRun({ ...first, parent: { ...(await run(1)).parent!, runId: (await run(2)).runId } });
    expect((await new RuleReplay(store).of(await run(2))).machine.rules).toEqual([lower]);
  });
});

describe('the values of long runs', () => {
  const high = rule({ name: 'high loss', condition: { kind: 'threshold', side: 'above', value: 0.5 } });
  const rising = rule({
    ...{ name: 'rising', metric: 'shift/kl' },
    condition: { kind: 'slope', side: 'above', perStep: 0.1, window: 6 },
  });
  const parentId = RunId.parse('parent');
  const childId = RunId.parse('child');
  const at = (seq: number, step: number): WireEvent => ({
    ...stepped(seq, { 'train/loss': Math.sin(seq), ...(seq % 2 === 0 && { 'shift/kl': Math.cos(seq / 5) }) }),
    step,
  });
  const segment = (seq: number, fromStep: number): WireEvent => ({
    ...{ type: 'segment_started', seq, step: fromStep, fromStep, wallTimeMs: testTimeMs },
  });
  const runOf = (runId: RunId, change: Partial<StoredRun>): StoredRun => ({
    ...{ runId, description: attachment(runId, { rules: [high] }).run, parent: null, state: 'finished', reason: '' },
    ...{ trainer: null, createdMs: 1, startedMs: 1, endedMs: 2, ...change },
  });
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-replay-'));
  const store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));

  /** A run whose rules are changed on the way and that goes back once, and one that goes on from it. */
  beforeAll(async () => {
    await store.createRun(runOf(parentId, {}));
    const events = [
      ...Array.from({ length: 80 }, (_, i) => at(i + 2, i + 1)),
      saved(82, 80),
      segment(83, 30),
      ...Array.from({ length: 60 }, (_, i) => at(84 + i, 31 + i)),
    ];
    await store.append(parentId, [started(), ...events].map(asStored));
    await store.putCommand({
      ...aCommand(parentId, { kind: 'set_rules', rules: [high, rising] }),
      ...{ receivedMs: 5, author: 'dashboard', state: 'applied', step: 20, afterSeq: 21, before: null, after: {} },
    } as unknown as CommandRecord);
    await store.createRun(
      runOf(childId, {
        parent: { runId: parentId, checkpointId: 'step-80' as never, step: 80, goesOn: true },
        createdMs: 9,
      }),
    );
    await store.append(
      childId,
      [{ ...started(), step: 80 } as WireEvent, ...[81, 82, 83].map((step, i) => at(2 + i, step))].map(asStored),
    );
  });
  afterAll(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  const read = async (runId: RunId, valuesAtOnce?: number) => {
    const limits: (number | undefined)[] = [];
    const watched = new Proxy(store, {
      get: (target, name: keyof EmbeddedStore) => {
        if (name !== 'history') return (Reflect.get(target, name, target) as () => void).bind(target);
        return (...[id, range, signal]: Parameters<EmbeddedStore['history']>) => {
          if (range.fromStep !== range.toStep) limits.push(range.maxValues);
          return target.history(id, range, signal);
        };
      },
    });
    const fired: Firing[] = [];
    const changes: { afterFirings: number; rules: GuardRule[] }[] = [];
    const listener = {
      take: (firing: Firing) => void fired.push(firing),
      rulesChanged: ({ rules }: RuleMachine) => void changes.push({ afterFirings: fired.length, rules }),
    };
    const run = (await store.run(runId))!;
    const { machine, ...found } = await new RuleReplay(watched).of(run, { valuesAtOnce }, listener);
    fired.sort((a, b) => a.seq - b.seq);
    return { replayed: { ...found, states: machine.states, fired, changes }, limits };
  };

  it.each([parentId, childId])('of %s are never read all at once, and the rules are as if they were', async (runId) => {
    const whole = await read(runId);
    expect(whole.replayed.states.map(({ firings }) => firings)).not.toContain(0);
    expect(whole.limits).not.toContain(undefined);
    for (const valuesAtOnce of [10, 50]) {
      const { replayed, limits } = await read(runId, valuesAtOnce);
      expect(replayed).toEqual(whole.replayed);
      expect(new Set(limits)).toEqual(new Set([valuesAtOnce]));
      expect(limits.length).toBeGreaterThan(whole.limits.length);
    }
  });

  it('are refused when they are more than the limit, however many are read at once', async () => {
    const run = (await store.run(parentId))!;
    for (const valuesAtOnce of [10, undefined])
      await expect(new RuleReplay(store).of(run, { maxValues: 150, valuesAtOnce })).rejects.toThrow(
        AnswerTooLargeError,
      );
  });
});
