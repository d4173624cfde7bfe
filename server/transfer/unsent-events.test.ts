import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { maxEventsPerBatch } from '@plumbline/shared/limits';
import { RunId } from '@plumbline/shared/run';
import { asSent, keep, sampleRun } from '../../test/support/sample-run.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import type { StoredEvent } from '../store/protocol-1.js';
import { writeUnsentEvents } from '../trainer/unsent-events.js';
import { canonicalJson } from './canonical-json.js';
import { handInEvents, unsentEventsOf } from './unsent-events.js';
import { storedControlEvents } from '../../test/support/stored-control-events.js';

const whole = sampleRun('run-a');
const { runId } = whole.run;
/** The hub had stored more events than it had acknowledged: a part of the file is in the store already. */
const had = 300;
let folder: string;
let store: EmbeddedStore;
let path: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-unsent-'));
  store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));
  await keep({ ...whole, events: whole.events.slice(0, had) }, store);
  path = join(folder, 'runs', runId, 'unsent-events.jsonl');
  await leave(whole.events.slice(had - 100));
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});
const stored = async (): Promise<StoredEvent[]> => {
  const all: StoredEvent[] = [];
  for (;;) {
    const page = await store.events(runId, all.length + 1, maxEventsPerBatch);
    if (page.length === 0) return all;
    all.push(...page);
  }
};
const header = { format: 'plumbline-unsent-events', version: 2, runId } as const;
const leave = (events: readonly StoredEvent[]): Promise<void> => writeUnsentEvents(path, runId, events.map(asSent));
const refused = async (reason: RegExp): Promise<void> => {
  await expect(handInEvents(path, header, store)).rejects.toThrow(reason);
  expect(await store.lastSeq(runId)).toBe(had);
};

it('completes the run, and changes nothing when the same file is imported again', async () => {
  expect(await unsentEventsOf(path)).toEqual(header);
  const lastSeq = whole.events.length;
  expect(await handInEvents(path, header, store)).toEqual({ appended: lastSeq - had, lastSeq });
  expect(canonicalJson(await stored())).toBe(canonicalJson(whole.events));
  expect(await handInEvents(path, header, store)).toEqual({ appended: 0, lastSeq });
  expect(await stored()).toHaveLength(lastSeq);
});
it('is refused if earlier events are missing', async () => {
  await leave(whole.events.slice(had + 1));
  await refused(/begin with 302, and run-a goes up to 300 here/);
});
it('is refused if the run continued differently', async () => {
  const [first, ...rest] = whole.events.slice(had - 1);
  await leave([{ ...first!, step: first!.step + 1 }, ...rest]);
  await refused(/another trainer took it up/);
});
it('is refused after the last word of the run', async () => {
  const ended = { type: 'run_finished', seq: had + 1, step: had, wallTimeMs: 1_700_000_000_001 } as const;
  await store.append(runId, [ended]);
  await leave([{ ...ended, seq: had + 2 }]);
  await expect(handInEvents(path, header, store)).rejects.toThrow(/another trainer took it up/);
});
it('is refused if its events are in an order that no trainer sends', async () => {
  const [first, second, ...rest] = whole.events.slice(had);
  await leave([first!, { ...second!, step: 3 }, ...rest]);
  await refused(/unsent-events.jsonl cannot be imported\. Event 302 of run-a is at step 3, after step 29\d\./);
  await leave([{ ...first!, step: 3 }, second!, ...rest]);
  await refused(/Event 301 of run-a is at step 3/);
  const ended = { type: 'run_finished', seq: had + 1, step: had, wallTimeMs: 1_700_000_000_001 } as const;
  await leave([ended, { ...ended, seq: had + 2 }]);
  await refused(/An event follows the one that ends the run/);
});
it('is refused with the number of a damaged or missing line', async () => {
  appendFileSync(path, '{"type":"run_fin');
  await refused(/^Line \d+ of .*unsent-events.jsonl is not JSON: the file was cut short/);
  writeFileSync(path, `${readFileSync(path, 'utf8').split('\n')[0]}\n{"type":"run_finished","seq":301}\n`);
  await refused(/^Line 2 of .*unsent-events.jsonl is not valid: events\.0\.step: /);
  await leave([whole.events[had]!, whole.events[had + 2]!]);
  await refused(/Line 3 of .* has event 303 where 302 should be/);
});
it('is refused if it is not UTF-8, before anything is written', async () => {
  const [lines, last] = [
    readFileSync(path),
    { type: 'run_failed', seq: whole.events.length + 1, step: 10_000, wallTimeMs: 1_700_000_000_001 },
  ];
  const text = JSON.stringify({ ...last, reason: 'gone: ?' });
  writeFileSync(path, Buffer.concat([lines, Buffer.from(text.replace('?', '\xe9'), 'latin1'), Buffer.from('\n')]));
  await refused(/unsent-events.jsonl is not UTF-8 at byte \d+, in line \d+/);
});
it('is imported once, with its texts cleaned as a hub does', async () => {
  const failed = {
    type: 'run_failed',
    seq: had + 1,
    step: 10_000,
    wallTimeMs: 1_700_000_000_001,
    reason: '\u001b[31mgone',
  } as const;
  await leave([failed]);
  expect(await handInEvents(path, header, store)).toMatchObject({ appended: 1 });
  expect((await stored()).at(-1)).toEqual({ ...failed, reason: '\uFFFD[31mgone' });
  expect(await handInEvents(path, header, store)).toMatchObject({ appended: 0 });
});
it('is refused by a store without its run', async () => {
  const other = new EmbeddedStore(join(folder, 'other.duckdb'));
  await expect(handInEvents(path, header, other)).rejects.toThrow(/no run run-a here.*--data-dir/s);
  await other.close();
});
it('is distinguished from other files', async () => {
  expect(await unsentEventsOf(folder)).toBeNull();
  expect(await unsentEventsOf(join(folder, 'nothing'))).toBeNull();
  writeFileSync(path, '{"format":"plumbline-run","version":1}\n');
  expect(await unsentEventsOf(path)).toBeNull();
});
it('is refused if it is of a later version, or with the fault of its header', async () => {
  writeFileSync(path, '{"format":"plumbline-unsent-events","version":3}\n');
  await expect(unsentEventsOf(path)).rejects.toThrow(/later version of Plumbline \(format 3.*Update Plumbline/);
  writeFileSync(path, '{"format":"plumbline-unsent-events","version":1}\n');
  await expect(unsentEventsOf(path)).rejects.toThrow(/^Line 1 of .*unsent-events.jsonl is not valid \(runId: /);
});
it('may come from a trainer of protocol 1 whose start the hub never had', async () => {
  const other = RunId.parse('run-b');
  await store.createRun({ ...whole.run, runId: other });
  const [, start] = readFileSync(new URL('../../test/fixtures/run-of-protocol-1.jsonl', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"run_started"') || line.includes('"format"'));
  const events = [JSON.parse(start!) as StoredEvent];
  const old = { ...header, version: 1, runId: other } as const;
  writeFileSync(path, [old, ...events].map((line) => `${JSON.stringify(line)}\n`).join(''));
  expect(await handInEvents(path, (await unsentEventsOf(path))!, store)).toEqual({ appended: 1, lastSeq: 1 });
  expect(await store.events(other, 1, 10)).toEqual(events);
  const [told] = (await storedControlEvents(store, other)).events;
  expect(told?.type === 'run_started' && told.model.recipes.map(({ name }) => name)).toContain('sa_proj');
});
