import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveSelection } from '@plumbline/shared/selection';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { RunId } from '@plumbline/shared/run';
import { RunDescription } from '@plumbline/shared/run-description';
import { TrainerEvent } from '@plumbline/shared/trainer-event';
import { held, keep, sampleRun } from '../../test/support/sample-run.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import { describeModel } from '../trainer/models/parameter-roles.js';
import { exportFormats, exportPath, exportRun } from './export-run.js';
import { importRun } from './import-run.js';
import { archiveOf, digestOf, storedEvents } from './run-archive.js';
import { arriving } from './store-run.js';
import { storedControlEvents } from '../../test/support/stored-control-events.js';

const folder = mkdtempSync(join(tmpdir(), "plumbline-transfer-it's-"));
const sample = sampleRun('run-a');
const { runId } = sample.run;
let source: EmbeddedStore;
let digest: string;
let stores = 0;
const newStore = () => new EmbeddedStore(join(folder, `store-${++stores}`, 'plumbline.duckdb'));
const exported = Object.fromEntries(exportFormats.map((format) => [format, ''])) as Record<
  (typeof exportFormats)[number],
  string
>;

beforeAll(async () => {
  source = newStore();
  await keep(sample, source);
  digest = await digestOf(await archiveOf(source, runId));
  for (const format of exportFormats) {
    exported[format] = await exportPath(runId, format, folder);
    expect(await exportRun(await archiveOf(source, runId), format, exported[format])).toBe(digest);
  }
});
afterAll(async () => {
  await source.close();
  rmSync(folder, { recursive: true });
});

/** A copy of an export that a test may damage. */
function copyOf(format: (typeof exportFormats)[number]): string {
  const copy = join(folder, `damaged-${Math.random().toString(36).slice(2)}`);
  cpSync(exported[format], copy, { recursive: true });
  return copy;
}
const edit = (path: string, change: (text: string) => string) => {
  const text = readFileSync(path, 'utf8');
  expect(change(text)).not.toBe(text);
  writeFileSync(path, change(text));
};
/** Refused, and the store has neither the run nor any event of it. */
async function refused(path: string, reason: RegExp) {
  const store = newStore();
  await expect(importRun(path, store)).rejects.toThrow(reason);
  expect([await store.runs(), await store.lastSeq(runId)]).toEqual([[], 0]);
  await store.close();
}

it.each(['jsonl', 'csv'] as const)(
  'a run as %s may have been given a byte order mark and other line ends',
  async (format) => {
    const copy = copyOf(format);
    const files = format === 'jsonl' ? [copy] : ['run.json', 'points.csv'].map((name) => join(copy, name));
    for (const file of files) edit(file, (text) => `\uFEFF${text.replaceAll('\n', '\r\n')}`);
    const store = newStore();
    expect(await importRun(copy, store)).toMatchObject({ digest, unchanged: false });
    expect(await held(store, runId)).toEqual(sample);
    await store.close();
  },
);

describe.each(exportFormats)('a run as %s', (format) => {
  it('comes back as it was, with the same digest, and a second import changes nothing', async () => {
    const store = newStore();
    expect(await importRun(exported[format], store)).toMatchObject({ digest, unchanged: false });
    expect(await held(store, runId)).toEqual(sample);
    expect(await digestOf(await archiveOf(store, runId))).toBe(digest);
    expect(await importRun(exported[format], store)).toMatchObject({ digest, unchanged: true });
    await store.close();
  });

  it('that has no event yet comes back too', async () => {
    const run = { ...sample.run, runId: RunId.parse('run-empty'), state: 'created' as const };
    const [from, to] = [newStore(), newStore()];
    await from.createRun(run);
    const path = await exportPath(run.runId, format, folder);
    await exportRun(await archiveOf(from, run.runId), format, path);
    await importRun(path, to);
    expect(await held(to, run.runId)).toEqual({ run, events: [], commands: [] });
    await from.close();
    await to.close();
  });

  it('is not written over what is there, and leaves nothing half', async () => {
    await expect(exportRun(await archiveOf(source, runId), format, exported[format])).rejects.toThrow(/there already/);
    const archive = await archiveOf(source, runId);
    const failing = { ...archive, ...storedEvents(source, runId, archive.lastSeq + 1) };
    const path = join(folder, `failing-${format}`);
    await expect(exportRun(failing, format, path)).rejects.toThrow(/cannot be read up to event/);
    expect(readdirSync(folder).filter((name) => name.includes('failing'))).toEqual([]);
  });

  it('is refused as another digest says', async () => {
    const archive = { ...(await archiveOf(source, runId)), digest: `sha256:${'0'.repeat(64)}` };
    const path = join(folder, `wrong-${format}`);
    await expect(exportRun(archive, format, path)).rejects.toThrow(/damaged on its way/);
    expect(existsSync(path)).toBe(false);
  });
});

it('the digest of a jsonl file can be checked with sha256sum', () => {
  const lines = readFileSync(exported.jsonl, 'utf8').trimEnd().split('\n');
  const content = `${lines.slice(1, -1).join('\n')}\n`;
  expect(`sha256:${createHash('sha256').update(content).digest('hex')}`).toBe(digest);
});

it('csv and parquet are one long table, with a row for an event without metrics', () => {
  const rows = readFileSync(join(copyOf('csv'), 'points.csv'), 'utf8').split('\n');
  expect(rows.slice(0, 5)).toEqual([
    'seq,step,stage,wall_time_ms,type,metric,value',
    '2,1,1,1700000000001.125,step_completed,shift/kl,1',
    '2,1,1,1700000000001.125,step_completed,train/gradient_norm,1',
    '2,1,1,1700000000001.125,step_completed,train/loss,NaN',
    '3,2,2,1700000000002.125,step_completed,shift/kl,0.5',
  ]);
  expect(rows).toContain('18,11,2,1700000000017.125,step_completed,,');
  expect(readdirSync(exported.parquet).sort()).toEqual(['large-events.jsonl', 'points.parquet', 'run.json']);
  const large = readFileSync(join(exported.csv, 'large-events.jsonl'), 'utf8').trimEnd().split('\n');
  expect(large.map((line) => (JSON.parse(line) as { type: string }).type)).toEqual([
    'token_shift',
    'examples',
    'examples',
  ]);
});

describe('a run of protocol 1, whose model says no roles and which has no description', () => {
  const path = new URL('../../test/fixtures/run-of-protocol-1.jsonl', import.meta.url).pathname;
  const text = readFileSync(path, 'utf8');
  const { digest: its } = JSON.parse(text.trimEnd().split('\n').at(-1)!) as { digest: string };

  it('comes in with its digest, and goes out again as the same text and as a table', async () => {
    const store = newStore();
    const { archive } = await importRun(path, store);
    const id = archive.run.runId;
    expect(await digestOf(await archiveOf(store, id))).toBe(its);
    expect(await importRun(path, store)).toMatchObject({ digest: its, unchanged: true });
    const again = join(folder, 'again.jsonl');
    await exportRun(await archiveOf(store, id), 'jsonl', again);
    expect(readFileSync(again, 'utf8')).toBe(text);
    const table = join(folder, 'again-parquet');
    expect(await exportRun(await archiveOf(store, id), 'parquet', table)).toBe(its);
    const other = newStore();
    expect(await importRun(table, other)).toMatchObject({ digest: its });
    await store.close();
    await other.close();
  });

  it('is read as its trainer would tell it today', async () => {
    const store = newStore();
    const { archive } = await importRun(path, store);
    const { events } = await storedControlEvents(store, archive.run.runId);
    await store.close();
    const started = events.find((event) => event.type === 'run_started')!;
    expect(TrainerEvent.parse(started)).toEqual(started);
    const listed = started.model.parameters.map(({ group: _, ...parameter }) => parameter);
    const today = describeModel('plumbline-base', listed, { wholeVision: true });
    expect({ ...started.model, recipes: [] }).toEqual({ ...today, recipes: [] });
    for (const recipe of started.model.recipes)
      expect(recipe).toEqual(today.recipes.find(({ name }) => name === recipe.name));
    // What trained then is what its recipes are read to train.
    for (const event of events)
      if (event.type === 'run_started' || event.type === 'trainable_changed')
        expect(resolveSelection(event.selection, started.model)).toMatchObject({ trainable: event.trainable });
    expect(started.model.recipes.map(({ name }) => name)).toEqual([
      ...['full', 'sa_proj', 'mlp', 'mlp_gate_up', 'mlp_down', 'projector', 'none'],
    ]);
  });

  it('has its configuration as settings, and its tasks and stages from it', async () => {
    const store = newStore();
    const { archive } = await importRun(path, store);
    const { description } = (await store.run(archive.run.runId))!;
    await store.close();
    expect(RunDescription.parse(description)).toEqual(description);
    expect(description).toMatchObject({
      ...{ name: 'Experts of before', totalSteps: 6, probeEverySteps: 3, stages: [{ task: 'counting', steps: 6 }] },
      settings: { recipe: 'mlp_gate_up', seed: 1, method: { kind: 'mixture_of_experts', experts: 2 } },
      rules: [{ name: 'freeze' }],
    });
    expect(builtInConfig(description)).toMatchObject({ name: 'Experts of before', steps: 6, batchSize: 2 });
  });

  it('is refused where its configuration was changed to one that is none', async () => {
    const damaged = join(folder, 'damaged-config.jsonl');
    writeFileSync(damaged, text.replace('"batchSize":2', '"batchSize":0'));
    await refused(damaged, /The run in .* is not valid \(config\.batchSize: /);
  });

  it('is refused where it was changed, with the place', async () => {
    const damaged = join(folder, 'damaged-old.jsonl');
    writeFileSync(damaged, text.replace('"group":"language_model.embed_tokens"', '"group":7'));
    await refused(damaged, /Line 4 of .* is not valid \(model\.parameters\.\d+\.group: /);
  });
});

describe('an id that is taken', () => {
  it('is refused for another run, and --as brings both side by side, twice without a change', async () => {
    const store = newStore();
    const other = sampleRun('run-a', 3);
    await keep(other, store);
    await expect(importRun(exported.jsonl, store)).rejects.toThrow(/Another run has the id run-a.*--as NEW_ID/);
    const as = RunId.parse('run-b');
    const first = await importRun(exported.jsonl, store, as);
    expect(await importRun(exported.parquet, store, as)).toMatchObject({ digest: first.digest, unchanged: true });
    expect(await held(store, runId)).toEqual(other);
    const renamed = await held(store, as);
    expect(renamed.run).toEqual({ ...sample.run, runId: as });
    expect(renamed.commands.map(({ reason }) => reason).sort()).toEqual(['', 'ß', '無']);
    const applied = renamed.commands.find(({ state }) => state === 'applied')!;
    expect(renamed.events.find(({ type }) => type === 'command_applied')).toMatchObject({
      commandId: applied.commandId,
    });
    expect(renamed.events.filter(({ type }) => !type.startsWith('command'))).toEqual(
      sample.events.filter(({ type }) => !type.startsWith('command')),
    );
    await store.close();
  });

  it('goes on where an import was interrupted, and not over events of another run', async () => {
    const store = newStore();
    await store.createRun(arriving(sample.run));
    await store.append(runId, sample.events.slice(0, 700));
    expect(await importRun(exported.csv, store)).toMatchObject({ unchanged: false, digest });
    expect(await held(store, runId)).toEqual(sample);
    await store.close();

    const foreign = newStore();
    await foreign.createRun(arriving(sample.run));
    await foreign.append(runId, sampleRun('run-c', 3).events);
    await expect(importRun(exported.jsonl, foreign)).rejects.toThrow(/other events under the id run-a/);
    expect(await foreign.lastSeq(runId)).toBe(sampleRun('run-c', 3).events.length);
    await foreign.close();
  });

  it('of a command is refused before anything is written', async () => {
    const store = newStore();
    await store.putCommand({ ...sample.commands[0]!, runId: RunId.parse('run-z') });
    await expect(importRun(exported.jsonl, store)).rejects.toThrow(/as one of run run-z/);
    expect(await store.lastSeq(runId)).toBe(0);
    await store.close();
  });
});

describe('a file that is not as it was exported', () => {
  it('missing, empty, of another kind', async () => {
    const path = join(folder, 'nothing');
    await refused(path, /There is no .*nothing/);
    writeFileSync(path, '');
    await refused(path, /is empty/);
    writeFileSync(path, '{"some":"json"}\n');
    await refused(path, /is not a run of Plumbline/);
    await refused(join(folder, 'store-1', 'plumbline.duckdb'), /is not a run of Plumbline/);
    mkdirSync(join(folder, 'empty'));
    await refused(join(folder, 'empty'), /has no run.json/);
  });

  it('from a later version', async () => {
    const file = copyOf('jsonl');
    edit(file, (text) => text.replace('"version":2', '"version":3'));
    await refused(file, /later version of Plumbline \(format 3/);
    const table = copyOf('csv');
    edit(join(table, 'run.json'), (text) => text.replace('"version": 2', '"version": 3, "more": 1'));
    await refused(table, /later version of Plumbline \(format 3/);
  });

  it.each([
    ['in the digest', (size: number) => size - 3],
    ['before the digest', (size: number) => size - 90],
    ['in the middle', (size: number) => size >> 1],
    ['in the run', () => 150],
  ])('jsonl cut short %s', async (_, length) => {
    const file = copyOf('jsonl');
    truncateSync(file, length(readFileSync(file).length));
    await refused(file, /cut short/);
  });

  it.each([
    ['a number', /"train\/loss":0\.\d/, '"train/loss":1.5', /was changed after its export/],
    ['a reason', 'zażółć', 'gone', /was changed after its export/],
    ['the run', 'Přenos', 'Other', /was changed after its export/],
    ['a command', '"reason":"無"', '"reason":""', /was changed after its export/],
    ['a type', '"type":"run_paused"', '"type":"paused"', /Line \d+ .*is not valid/],
    ['a line that is gone', /\{"metrics"[^\n]*"seq":3,[^\n]*\n/, '', /has event 4 where 3 should be/],
    ['a line that is there twice', /(\{"metrics"[^\n]*"seq":3,[^\n]*\n)/, '$1$1', /has event 3 where 4 should be/],
    ['a line that is no JSON', '{"metrics":{},', 'metrics,', /Line \d+ .*is not JSON/],
    [
      'events at the end',
      /(\n\{"digest")/,
      '\n{"seq":99999,"step":1,"type":"run_finished","wallTimeMs":1}$1',
      /after the last/,
    ],
  ])('jsonl with %s', async (_, found, replacement, reason) => {
    const file = copyOf('jsonl');
    edit(file, (text) => text.replace(found, replacement));
    await refused(file, reason);
  });

  it.each([
    ['a number', /(,train\/loss,)0\.\d/, '$11.5', /was changed after its export/],
    ['another step in one row', /\n3,2,2,(.*train\/loss)/, '\n3,1,2,$1', /rows of event 3 .*do not belong together/],
    ['a row that is there twice', /(\n3,2,2.*train\/loss.*)/, '$1$1', /rows of event 3 .*do not belong together/],
    ['a row that is gone', /\n3,2,2.*train\/loss.*/, '', /was changed after its export/],
    ['events that are gone', /\n1000,[^]*/, '\n', /ends after event|has event/],
    ['a word for a number', /\n3,2,2/, '\n3,two,2', /points.csv cannot be read/],
    ['a metric without a value', /\n3,2,2(.*train\/loss),.*/, '\n3,2,2$1,', /a metric or a value without the other/],
    ['a name that is no metric', /\n3,2,2(.*),shift\/kl,/, '\n3,2,2$1,KL ,', /Event 3 .* is not valid/],
  ])('csv with %s', async (_, found, replacement, reason) => {
    const table = copyOf('csv');
    edit(join(table, 'points.csv'), (text) => text.replace(found, replacement));
    await refused(table, reason);
  });

  it('csv that is wrong in its last row, behind all that is read at first', async () => {
    const table = copyOf('csv');
    const [points, record] = [join(table, 'points.csv'), join(table, 'run.json')];
    const last = sample.events.length;
    const more = Array.from(
      { length: 50_000 },
      (_, index) => `${last + 1 + index},5000,0,1,step_completed,train/loss,1`,
    );
    edit(record, (text) => text.replace(`"events": ${last}`, `"events": ${last + more.length + 1}`));
    edit(
      points,
      (text) => `${text}${more.join('\n')}\n${last + more.length + 1},two,0,1,step_completed,train/loss,1\n`,
    );
    await refused(table, /points.csv cannot be read: it was cut short or changed\. \(.*two/);
  });

  it('parquet with a byte that is another, wherever it stands', async () => {
    for (const part of [0.05, 0.3, 0.6, 0.8]) {
      const table = copyOf('parquet');
      const points = join(table, 'points.parquet');
      const bytes = readFileSync(points);
      for (let at = Math.floor(bytes.length * part), end = at + 40; at < end; at++) bytes[at]! ^= 0x5a;
      writeFileSync(points, bytes);
      await refused(table, /points.parquet cannot be read: it was cut short or changed|was changed after its export/);
    }
  });

  it('text that is not UTF-8', async () => {
    const latin = (path: string): void => {
      const text = readFileSync(path, 'latin1');
      writeFileSync(path, text.replace(Buffer.from('zażółć').toString('latin1'), 'za\xbf\xf3\xb3\xe6'), 'latin1');
    };
    const [file, table] = [copyOf('jsonl'), copyOf('csv')];
    latin(file);
    await refused(file, /damaged-\w+ is not UTF-8 at byte \d+, in line \d+: .* Copy or export it again/);
    latin(join(table, 'run.json'));
    await refused(table, /run\.json is not UTF-8 at byte \d+, in line \d+: /);
    const csv = copyOf('csv');
    appendFileSync(join(csv, 'points.csv'), Buffer.from([0xff, 0x0a]));
    await refused(csv, /points\.csv cannot be read: /);
  });

  it('parquet cut short, and a table that is missing', async () => {
    const table = copyOf('parquet');
    const points = join(table, 'points.parquet');
    truncateSync(points, readFileSync(points).length >> 1);
    await refused(table, /points.parquet cannot be read: it was cut short or changed/);
    rmSync(points);
    await refused(table, /points.parquet is missing/);
  });

  it.each(['csv', 'parquet'] as const)(
    'large events of %s that were changed, cut short or are missing',
    async (format) => {
      const [changed, short, missing] = [copyOf(format), copyOf(format), copyOf(format)];
      edit(join(changed, 'large-events.jsonl'), (text) => text.replace(' three', ' four'));
      await refused(changed, /was changed after its export/);
      edit(join(short, 'large-events.jsonl'), (text) => text.slice(0, text.lastIndexOf('{"examples"')));
      await refused(short, /it was cut short|where \d+ should be/);
      rmSync(join(missing, 'large-events.jsonl'));
      await refused(missing, /large-events.jsonl is missing. It belongs beside run.json/);
    },
  );

  it('a record that was cut short or changed', async () => {
    const table = copyOf('parquet');
    const record = join(table, 'run.json');
    edit(record, (text) => text.replace('zażółć', 'gone'));
    await refused(record, /was changed after its export/);
    truncateSync(record, 500);
    await refused(table, /run.json is not JSON/);
  });
});
