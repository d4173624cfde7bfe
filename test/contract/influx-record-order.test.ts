import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunState } from '@plumbline/shared/run';
import { InfluxStore } from '../../server/store/influx-store.js';
import { InfluxServer } from '../support/influx-server.js';
import { commandRecord, runId, storedRun } from './stored-samples.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-record-order-'));
let server: InfluxServer;
beforeAll(async () => {
  server = await InfluxServer.start();
});
afterAll(async () => {
  await server.remove();
  rmSync(folder, { recursive: true });
});

const inState = (state: RunState, reason = '') => ({ ...storedRun(), state, reason });

/** Two hubs' stores on one bucket, each with a spool of its own. */
async function twoHubs(): Promise<[InfluxStore, InfluxStore]> {
  const { url, org, token } = server;
  const bucket = await server.bucket();
  const open = (hub: string) =>
    new InfluxStore({ url, org, token, bucket, spoolFolder: join(folder, `${bucket}-${hub}`) });
  return [open('a'), open('b')];
}

describe("a record with its trainer's last word", () => {
  it.each([
    ['finished', ''],
    ['failed', 'The loss became NaN.'],
  ] as const)('counts though another hub has given the run up meanwhile: %s', async (state, reason) => {
    const [a, b] = await twoHubs();
    await a.createRun(storedRun());
    await a.updateRun(inState('running'));
    expect(await a.drained(10_000)).toBe(true);
    // B adopts the run, of which it hears nothing more, while A goes on with its trainer.
    await b.takeUp(runId, 0);
    await b.updateRun(inState('failed', 'The trainer was lost.'));
    expect(await b.drained(10_000)).toBe(true);
    expect(await a.run(runId)).toMatchObject({ state: 'failed', reason: 'The trainer was lost.' });
    await a.updateRun(inState(state, reason), true);
    expect(await a.run(runId)).toMatchObject({ state, reason });
    expect(await a.drained(10_000)).toBe(true);
    for (const store of [a, b]) {
      expect(await store.run(runId)).toMatchObject({ state, reason });
      expect(await store.runs()).toMatchObject([{ state, reason }]);
    }
    // Nor does what B writes still.
    await b.updateRun(inState('failed', 'The trainer was lost.'));
    expect(await b.drained(10_000)).toBe(true);
    for (const store of [a, b]) expect(await store.run(runId)).toMatchObject({ state, reason });
    await a.close();
    await b.close();
  });
});

describe('a command that two hubs received at different times', () => {
  it('is in the log once, as it ended, however many commands lie between', async () => {
    const [a, b] = await twoHubs();
    await a.createRun(storedRun());
    const others = Array.from({ length: 450 }, (_, i) => commandRecord(`command-${i}`, { receivedMs: 1000 + i }));
    for (const record of others) await a.putCommand(record);
    const ended = { state: 'applied', step: 3, endedMs: 2000 } as const;
    await a.putCommand(commandRecord('command-late', { receivedMs: 5000 }));
    await b.putCommand(commandRecord('command-late', { receivedMs: 1100.5, ...ended }));
    await a.putCommand(commandRecord('command-early', { receivedMs: 900 }));
    await b.putCommand(commandRecord('command-early', { receivedMs: 4000, ...ended }));
    for (const store of [a, b]) expect(await store.drained(30_000)).toBe(true);
    for (const store of [a, b]) {
      const read: CommandRecord[] = [];
      await store.eachCommands(
        runId,
        (texts) => void read.push(...texts.map((text) => CommandRecord.parse(JSON.parse(text)))),
      );
      expect(read.map(({ commandId }) => commandId).sort()).toEqual(
        [...others.map(({ commandId }) => commandId as string), 'command-early', 'command-late'].sort(),
      );
      expect(read.filter(({ state }) => state === 'applied').map(({ commandId }) => commandId)).toEqual([
        'command-late',
        'command-early',
      ]);
      for (const id of ['command-late', 'command-early'])
        expect(await store.command(CommandId.parse(id))).toMatchObject({ state: 'applied' });
      await store.close();
    }
  });
});
