import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Rng } from '@plumbline/shared/rng';
import { RunId } from '@plumbline/shared/run';
import { EmbeddedStore } from '@plumbline/server/dist/store/embedded-store.js';
import { dataFormats } from '@plumbline/server/dist/trainer/data/formats/data-formats.js';
import { DataError } from '@plumbline/server/dist/trainer/data/formats/record.js';
import { exportRun } from '@plumbline/server/dist/transfer/export-run.js';
import { openRunFile } from '@plumbline/server/dist/transfer/open-run-file.js';
import { archiveOf, digestOf } from '@plumbline/server/dist/transfer/run-archive.js';
import { unsentEventsOf } from '@plumbline/server/dist/transfer/unsent-events.js';
import { keep, sampleRun } from '../../support/sample-run.js';
import { short } from '../attack.js';
import { errorFault, type Boundary, type OpenBoundary } from './boundary.js';
import { mutated, mutatedBytes, mutatedText } from './mutation.js';

/** Reads a file like `import` and returns the fault of a refusal. An accepted file must be readable to its end. */
async function importFault(path: string): Promise<string | null> {
  try {
    if ((await unsentEventsOf(path)) !== null) return null;
    const file = await openRunFile(path);
    // `import` compares the content with the export; reading it must not cause an internal error.
    await digestOf(file);
    return null;
  } catch (error) {
    return errorFault(error);
  }
}

/** Exports of a varied run in every format, with text, bytes or lines changed. */
const exports: OpenBoundary = async (rng, folder): Promise<Boundary> => {
  const store = new EmbeddedStore(join(folder, 'sample.duckdb'));
  const sample = sampleRun('fuzzed', 12);
  await keep(sample, store);
  const archive = await archiveOf(store, RunId.parse('fuzzed'));
  await exportRun(archive, 'jsonl', join(folder, 'fuzzed.jsonl'));
  for (const format of ['csv', 'parquet'] as const) await exportRun(archive, format, join(folder, format));
  await store.close();
  const whole = await readFile(join(folder, 'fuzzed.jsonl'), 'utf8');
  const lines = whole.trimEnd().split('\n');
  const path = join(folder, 'mutated.jsonl');
  return {
    next: async () => {
      // DuckDB takes a hundred times as long to open as a text file.
      const isTable = rng.integer(200) === 0;
      const input = isTable ? '' : mutatedLines(rng, whole, lines);
      const at = isTable
        ? await mutatedFolder(rng, join(folder, rng.pick(['csv', 'parquet'])), join(folder, 'mutated'))
        : path;
      if (!isTable) await writeFile(path, input);
      const fault = await importFault(at);
      return { inputs: 1, fault: fault && `${fault}; input ${short(input.toString(), 200)}` };
    },
  };
};

function mutatedLines(rng: Rng, whole: string, lines: readonly string[]): string | Buffer {
  switch (rng.integer(4)) {
    case 0:
      return mutatedText(rng, whole);
    case 1:
      return mutatedBytes(rng, Buffer.from(whole));
    case 2: {
      const at = rng.integer(lines.length);
      return [...lines.slice(0, at), ...(rng.integer(2) ? [lines[at]!, lines[at]!] : []), ...lines.slice(at + 1)].join(
        '\n',
      );
    }
    default: {
      const at = rng.integer(lines.length);
      return lines.map((line, i) => (i === at ? JSON.stringify(mutated(rng, JSON.parse(line))) : line)).join('\n');
    }
  }
}

async function mutatedFolder(rng: Rng, from: string, to: string): Promise<string> {
  await rm(to, { recursive: true, force: true });
  await mkdir(to);
  const names = await readdir(from);
  const changed = rng.pick(names);
  for (const name of names) {
    const bytes = await readFile(join(from, name));
    await writeFile(join(to, name), name === changed ? mutatedBytes(rng, bytes) : bytes);
  }
  return to;
}

/** Files of each layout with many records, most of them valid. */
const layouts: Record<keyof typeof dataFormats, (rng: Rng, index: number) => object> = {
  llava: () => ({
    id: '1',
    image: 'a.png',
    conversations: [
      { from: 'human', value: '<image>\nwhat is it ?' },
      { from: 'gpt', value: 'a bird' },
    ],
  }),
  path_vqa: () => ({ image: 'a.png', question: 'is it ?', answer: 'yes' }),
  pixmo_count: () => ({ image_url: 'x', image_sha256: 'a', label: 'dogs', count: 3 }),
  time_clock: () => ({ image: 'a.png', time: '10:20', hour: 10, minute: 20 }),
  text_vqa: () => ({ question: 'what is the brand ?', image_id: 'a', answers: ['nokia', 'nokia'] }),
  cub_200: () => ({}),
  conversations: (_, index) =>
    [
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: [{ type: 'text', text: 'Spell cat.' }] },
          { role: 'assistant', content: 'c-a-t' },
        ],
      },
      {
        conversations: [
          { from: 'human', value: 'Spell cat.' },
          { from: 'gpt', value: 'c-a-t' },
        ],
      },
      { prompt: 'Spell cat.', answer: 'c-a-t', split: 'train' },
    ][index % 3]!,
};
const recordsPerFile = 100;

/** Data sets in every layout; each record counts as one input. */
const dataSets: OpenBoundary = async (rng, folder) => {
  const set = join(folder, 'set');
  const formats = Object.keys(layouts) as (keyof typeof layouts)[];
  return {
    next: async () => {
      const format = rng.pick(formats);
      await rm(set, { recursive: true, force: true });
      await mkdir(set);
      await writeFile(join(set, 'a.png'), '');
      await writeSet(rng, format, set);
      let inputs = 0;
      const faults: string[] = [];
      try {
        for await (const read of dataFormats[format]({ path: set })) {
          inputs++;
          const fault = read instanceof DataError ? errorFault(read) : null;
          if (fault) faults.push(fault);
        }
      } catch (error) {
        const fault = errorFault(error);
        if (fault) faults.push(fault);
      }
      return { inputs: Math.max(1, inputs), fault: faults.length > 0 ? `${format}: ${faults[0]}` : null };
    },
  };
};

async function writeSet(rng: Rng, format: keyof typeof layouts, set: string): Promise<void> {
  if (format === 'cub_200') return writeCub(rng, set);
  const records = Array.from({ length: recordsPerFile }, (_, i) => {
    const record = layouts[format](rng, i);
    return rng.integer(2) ? mutated(rng, record) : record;
  });
  if (format === 'text_vqa') {
    const text = JSON.stringify({ data: records });
    for (const part of ['train', 'val'])
      await writeFile(join(set, `TextVQA_0.5.1_${part}.json`), rng.integer(4) ? text : mutatedText(rng, text));
    return;
  }
  switch (rng.integer(20)) {
    case 0:
      return writeFile(join(set, 'train.json'), mutatedText(rng, JSON.stringify(records)));
    case 1:
      return writeFile(join(set, 'train.csv'), mutatedText(rng, csv(records)));
    default: {
      const lines = records.map((record) => JSON.stringify(record) ?? 'null');
      const broken = lines.map((line) => (rng.integer(4) ? line : mutatedText(rng, line)));
      return writeFile(
        join(set, 'train.jsonl'),
        rng.integer(20) ? broken.join('\n') : mutatedBytes(rng, Buffer.from(broken.join('\n'))),
      );
    }
  }
}

function csv(records: readonly unknown[]): string {
  const rows = records.filter((record) => typeof record === 'object' && record !== null) as Record<string, unknown>[];
  const names = ['image', 'question', 'answer', 'count', 'label'];
  const cell = (value: unknown): string => `"${String(value ?? '').replaceAll('"', '""')}"`;
  return [names.join(','), ...rows.map((row) => names.map((name) => cell(safe(row[name]))).join(','))].join('\n');
}
const safe = (value: unknown): unknown => (typeof value === 'object' ? JSON.stringify(value) : value);

async function writeCub(rng: Rng, set: string): Promise<void> {
  const ids = Array.from({ length: 20 }, (_, i) => i + 1);
  const files: Record<string, string> = {
    'images.txt': ids.map((id) => `${id} 001.A/a${id}.jpg`).join('\n'),
    'image_class_labels.txt': ids.map((id) => `${id} ${1 + (id % 2)}`).join('\n'),
    'train_test_split.txt': ids.map((id) => `${id} ${id % 2}`).join('\n'),
    'classes.txt': '1 001.A\n2 002.B',
  };
  const changed = rng.pick(Object.keys(files));
  for (const [name, text] of Object.entries(files))
    await writeFile(join(set, name), name === changed ? mutatedText(rng, text) : text);
}

export const fileBoundaries: Record<string, OpenBoundary> = { 'exports and imports': exports, 'data sets': dataSets };
