import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, expect, it } from 'vitest';
import { runId, storedRun } from '../../test/contract/stored-samples.js';
import { examplesOf, largeExamples, tokenShift } from '../../test/support/large-events.js';
import { EmbeddedStore } from './embedded-store.js';
import { repairStore } from './repair.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-repair-large-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('an event that lost a part of its text is empty after a repair, and reported; the others are intact', async () => {
  const path = join(folder, 'plumbline.duckdb');
  const damaged = new EmbeddedStore(path);
  await damaged.createRun(storedRun());
  await damaged.append(runId, [largeExamples(1), largeExamples(2), tokenShift(3), examplesOf(4)]);
  const trainable = Array.from({ length: 9000 }, (_, i) => `parameter.${i}`);
  const selection = { kind: 'groups' as const, groups: [] };
  await damaged.append(runId, [{ type: 'trainable_changed', seq: 5, step: 5, wallTimeMs: 1, selection, trainable }]);
  await damaged.append(runId, [{ type: 'run_resumed', seq: 6, step: 6, wallTimeMs: 1 }]);
  await damaged.close();
  // As a repair finds it where some rows of a table cannot be read.
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  await connection.run('DELETE FROM large_events WHERE seq = 2 AND part = 7 OR seq = 3 OR seq = 5 AND part = 0');
  await connection.run('DELETE FROM events WHERE seq = 4');
  await connection.run('CHECKPOINT');
  connection.closeSync();
  instance.closeSync();
  const content = readFileSync(path);
  content[16]! ^= 0xff;
  writeFileSync(path, content);

  const { losses } = await repairStore(path, { startEmpty: false });
  expect(losses).toEqual([
    'Run run-a: the content of event 2 (examples) is gone; it is empty now.',
    'Run run-a: the content of event 3 (token_shift) is gone; it is empty now.',
    'Run run-a: events 4 to 5 are gone from its middle.',
  ]);
  const store = new EmbeddedStore(path, { onProblem: () => undefined });
  const at = (seq: number) => ({ seq, step: seq, wallTimeMs: 1_700_000_000_000 + seq });
  const repaired = [
    largeExamples(1),
    { ...at(2), type: 'examples', task: 'lost', examples: [] },
    { ...at(3), type: 'token_shift', prompts: 'lost', tokens: [] },
  ];
  expect([...(await store.events(runId, 1, 1)), ...(await store.events(runId, 2, 2))]).toEqual(repaired);
  const texts: string[] = [];
  await store.eachLargeEvent(runId, { type: 'examples', newest: 9, maxBytes: 1e9 }, (page) => void texts.push(...page));
  expect(texts.map((text) => JSON.parse(text) as unknown)).toEqual(repaired.slice(0, 2));
  await store.close();
});
