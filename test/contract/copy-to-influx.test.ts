import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { EmbeddedStore } from '../../server/store/embedded-store.js';
import { InfluxStore } from '../../server/store/influx-store.js';
import type { StoredEvent } from '../../server/store/protocol-1.js';
import { copyRuns } from '../../server/transfer/copy-runs.js';
import { archiveOf } from '../../server/transfer/run-archive.js';
import { InfluxServer } from '../support/influx-server.js';
import { runId, stepEvent, storedRun } from './stored-samples.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-copy-'));
let server: InfluxServer;
beforeAll(async () => {
  server = await InfluxServer.start();
});
afterAll(async () => {
  await server.remove();
  rmSync(folder, { recursive: true });
});

it('a run copied to InfluxDB and back is the same run', async () => {
  const source = new EmbeddedStore(join(folder, 'source.duckdb'));
  const events: TrainerEvent[] = Array.from({ length: 2500 }, (_, i) =>
    i % 500 === 499
      ? { type: 'run_paused', seq: i + 1, step: i, wallTimeMs: 1e12 + i, reason: `Pause № ${i} “ü”` }
      : stepEvent(i + 1, i % 3 ? { 'train/loss': i % 7 ? 1 / (i + 1) : 'NaN', 'drift/lm.0.q': i } : {}, i),
  );
  await source.createRun({ ...storedRun(), state: 'stopped', reason: 'done', endedMs: 5 });
  for (let from = 0; from < events.length; from += 1000) await source.append(runId, events.slice(from, from + 1000));
  const { url, org, token } = server;
  const influx = new InfluxStore({
    url,
    org,
    token,
    bucket: await server.bucket(),
    spoolFolder: join(folder, 'spool'),
  });
  const back = new EmbeddedStore(join(folder, 'back.duckdb'));
  const said: string[] = [];
  expect(await copyRuns(source, influx, [], (line) => said.push(line))).toEqual([]);
  expect(await copyRuns(influx, back, [], (line) => said.push(line))).toEqual([]);
  const read = async (store: EmbeddedStore | InfluxStore): Promise<StoredEvent[]> => {
    const all: StoredEvent[] = [];
    for (
      let page = await store.events(runId, 1, 700);
      page.length > 0;
      page = await store.events(runId, all.length + 1, 700)
    )
      all.push(...page);
    return all;
  };
  expect(await read(back)).toEqual(await read(source));
  const { run } = await archiveOf(back, runId);
  expect(run).toEqual((await archiveOf(source, runId)).run);
  for (const store of [source, influx, back]) await store.close();
});
