import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const plumbline = (...args: string[]) => promisify(execFile)('node', ['server/dist/cli.js', ...args], { cwd: root });

let hub: HubProcess;
beforeAll(async () => {
  hub = await HubProcess.start();
});
afterAll(async () => {
  await hub?.remove();
});

it('events that a trainer could not send while its hub was gone are handed in afterwards, and count once', async () => {
  let client = await HubClient.open(hub);
  const runId = await client.startRun({ steps: 100_000, batchSize: 4, warmupSteps: 0 });
  const { trainer } = await client.step(runId, 3);
  await hub.kill();
  process.kill(trainer!.processId, 'SIGTERM');
  const path = join(hub.dataDir, 'runs', runId, 'unsent-events.jsonl');
  const said = await client.until(
    'the trainer to print the path of its events',
    async () => /npm run plumbline -- (import .*)/.exec(await hub.trainerLog(runId)) ?? undefined,
  );
  client.close();
  expect(said[1]).toContain(path);

  const handedIn = await plumbline(...said[1]!.split(' '));
  expect(handedIn.stdout).toMatch(new RegExp(`Handed in \\d+ events of ${runId}`));
  const again = await plumbline('import', path, '--data-dir', hub.dataDir);
  expect(again.stdout).toContain('has these events already: nothing to do');

  await hub.start();
  client = await HubClient.open(hub);
  const run = await client.state(runId, 'stopped');
  expect(run.reason).toMatch(/ended from outside/);
  const { series } = await client.history(runId, '&metric=train/loss');
  expect(series['train/loss']!.steps).toEqual(Array.from({ length: run.lastStep }, (_, index) => index + 1));
  client.close();
});
