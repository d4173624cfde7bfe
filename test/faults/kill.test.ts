import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandId } from '@plumbline/shared/command';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { Ledger } from '../support/ledger.js';

/** The points of the kills are random; the seed in a failure's message repeats them. */
const seed = Number(process.env['PLUMBLINE_TEST_SEED'] ?? Date.now() % 100_000);
let state = seed;
const random = (): number => (state = (state * 48_271 + 11) % 0x7fffffff) / 0x7fffffff;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe(`kill -9 (seed ${seed})`, () => {
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
  const config = { batchSize: 4, probeEverySteps: 20, checkpointEverySteps: 40, warmupSteps: 0 };

  it('the hub may die at any point: the run continues, nothing shown is missing, nothing is stored twice', async () => {
    const steps = 150;
    const runId = await client.startRun({ ...config, steps });
    const ledger = new Ledger(client, runId);
    await client.step(runId, 1);
    for (let kill = 0; kill < 3; kill++) {
      await pause(500 + random() * 1500);
      await hub.kill();
      await pause(random() * 1000);
      await hub.start();
      await client.until('the trainer to come back', async () =>
        (await client.run(runId)).trainerConnected || (await client.run(runId)).state === 'finished' ? true : undefined,
      );
      // A command that is given twice with one id, across a kill, is carried out once.
      const commandId = CommandId.parse(`seed-${seed}-kill-${kill}`);
      const action = { kind: 'set_learning_rate', learningRate: 1e-4 * (kill + 1) } as const;
      await client.until('the command to be taken', () =>
        client.command(runId, action, commandId).catch(() => undefined),
      );
      await client.command(runId, action, commandId);
    }
    await client.state(runId, 'finished');
    expect(await ledger.differences()).toEqual([]);
    expect(ledger.values.size).toBeGreaterThan(0);

    const { series } = await client.history(runId, '&metric=train/loss');
    expect(series['train/loss']!.steps).toEqual(Array.from({ length: steps }, (_, index) => index + 1));

    const { events } = await client.controlEvents(runId);
    const outcomes = events.filter(({ type }) => type === 'command_applied' || type === 'command_failed');
    const ids = outcomes.map((event) => ('commandId' in event ? event.commandId : ''));
    expect(new Set(ids).size).toBe(ids.length);
    // Commands that were open when the run ended are recorded as failed right after that.
    await client.until('every command to have ended', async () =>
      (await client.commands(runId)).every(({ state }) => state !== 'pending') ? true : undefined,
    );
  });

  it('the trainer may die at any point: the run fails within seconds, with the reason, and keeps all its events', async () => {
    const runId = await client.startRun({ ...config, steps: 10_000 });
    const ledger = new Ledger(client, runId);
    const { trainer } = await client.step(runId, 2);
    await pause(random() * 2000);
    process.kill(trainer!.processId, 'SIGKILL');
    const killedMs = Date.now();
    const run = await client.state(runId, 'failed');
    expect(run.reason).toMatch(/SIGKILL|killed/i);
    // The run's own record says when it ended, so the machine's load does not decide this.
    expect(run.endedMs! - killedMs).toBeLessThan(20_000);
    expect(await ledger.differences()).toEqual([]);

    const late = await client.command(runId, { kind: 'pause' });
    expect(late.state).toBe('rejected');
    expect(late.reason).toMatch(/failed|ended/i);
  });
});
