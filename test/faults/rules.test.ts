import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommandId } from '@plumbline/shared/command';
import { GuardRule, ruleAuthor } from '@plumbline/shared/rule';
import { ruleCommandId } from '../../server/run/rules/rule-commands.js';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { TrainerProcess } from './trainer-process.js';

/** The points of the kills are random; the seed in a failure's message repeats them. */
const seed = Number(process.env['PLUMBLINE_TEST_SEED'] ?? Date.now() % 100_000);
let state = seed;
const random = (): number => (state = (state * 48_271 + 11) % 0x7fffffff) / 0x7fffffff;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * The scripted trainer's accuracy repeatedly rises from 0 to 99 over a hundred steps: it exceeds the threshold once in
 * each rise.
 */
const metric = 'held_out/colour/accuracy';
const rule = GuardRule.parse({
  ...{ name: 'high', metric, rearmMargin: 20 },
  condition: { kind: 'threshold', side: 'above', value: 50, consecutive: 3 },
  actions: [{ kind: 'save_checkpoint' }],
});

/**
 * The expected commands for a trainer's events after a number: at the third value above 50 after each value of 30 or
 * less.
 */
function firings({ runId, emitted }: TrainerProcess, afterSeq: number): CommandId[] {
  const ids: CommandId[] = [];
  let [armed, inARow] = [true, 0];
  for (const event of emitted.values()) {
    const value = 'metrics' in event ? event.metrics[metric] : undefined;
    if (typeof value !== 'number' || event.seq <= afterSeq) continue;
    if (value <= 30) armed = true;
    inARow = value > 50 ? inARow + 1 : 0;
    if (!armed || inARow < 3) continue;
    armed = false;
    ids.push(ruleCommandId(runId, rule.name, event.seq, 0));
  }
  return ids;
}

describe(`a rule over kills and broken connections (seed ${seed})`, () => {
  let hub: HubProcess;
  let client: HubClient;
  beforeAll(async () => {
    hub = await HubProcess.start();
    client = await HubClient.open(hub);
  });
  afterAll(async () => {
    client?.close();
    await hub?.remove();
  });

  it.each([
    ['from the start of its run', 'run-rules', [rule]],
    ['set during the run', 'run-set-rules', []],
  ])('%s fires once at each value at which it must', async (_, name, rules) => {
    const token = hub.trainerToken;
    const trainer = await TrainerProcess.start(name, {
      ...{ hubPort: hub.port, folder: hub.dataDir, token, stepMs: 4, rules },
    });
    const { runId } = trainer;
    await client.until('the run to begin', async () =>
      (await client.run(runId).catch(() => null))?.state === 'running' ? true : undefined,
    );
    let afterSeq = 0;
    if (rules.length === 0) {
      await client.step(runId, 60);
      const set = await client.command(runId, { kind: 'set_rules', rules: [rule] });
      afterSeq = set.afterSeq!;
      expect(afterSeq).toBeGreaterThan(60);
    }
    for (let fault = 0; fault < 6; fault++) {
      await pause(200 + random() * 800);
      if (fault % 2 === 0) trainer.proxy.reset();
      else {
        await hub.kill();
        await pause(random() * 500);
        await hub.start();
      }
    }
    // A trainer that ends accepts no more commands: only the commands of its last values may be rejected.
    const before = firings(trainer, afterSeq);
    await client.until('the commands to be applied', async () => {
      const records = await client.commands(runId);
      const applied = new Set(records.flatMap((record) => (record.state === 'applied' ? [record.commandId] : [])));
      return before.every((id) => applied.has(id)) || undefined;
    });
    expect(await trainer.finish(30_000)).toBe(true);
    expect(trainer.lost).toBeNull();
    await client.state(runId, 'finished');

    const expected = firings(trainer, afterSeq);
    expect(expected.length).toBeGreaterThan(1);
    const records = (await client.commands(runId)).filter(({ action }) => action.kind !== 'set_rules');
    expect(records.map(({ commandId }) => commandId).sort()).toEqual(expected.sort());
    for (const record of records) {
      expect(record.author).toBe(ruleAuthor('high'));
      expect(['applied', 'failed', 'rejected']).toContain(record.state);
    }
    const { events } = await client.controlEvents(runId);
    const applied = events.flatMap((event) => (event.type === 'command_applied' ? [event.commandId] : []));
    expect(new Set(applied).size).toBe(applied.length);
    expect(
      records
        .filter((record) => record.state === 'applied')
        .map(({ commandId }) => commandId)
        .sort(),
    ).toEqual(applied.sort());
    expect(applied.length).toBeGreaterThanOrEqual(before.length);
  });
});
