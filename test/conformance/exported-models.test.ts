import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { exportModel } from '../../server/trainer/weights/export-model.js';
import { ModelWeights } from '../../server/trainer/weights/model-weights.js';
import { families } from '../../server/trainer/weights/name-map.js';
import { pythonWith } from '../support/python-with.js';

const python = pythonWith(['torch', 'transformers'], 'Exported models are');

const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

it.skipIf(!python)('transformers loads what is exported of every family, with equal weights', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-exported-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const run = (what: string): string =>
    execFileSync(python!, ['test/conformance/exported_models.py', what, folder], { encoding: 'utf8', stdio: 'pipe' });
  run('make');
  expect(readdirSync(folder).sort()).toEqual([...families].sort());
  for (const family of families) {
    const base = join(folder, family, 'base');
    const { shapes, tied } = readJson(join(folder, family, 'shapes.json')) as {
      shapes: Record<string, number[]>;
      tied: boolean;
    };
    const weights = await ModelWeights.open(base, family, new Map(Object.entries(shapes)), { tiedHead: tied });
    const tensors = Object.entries(shapes).map(([name, shape]) => ({ name, shape, read: () => weights.read(name) }));
    // One family in BF16, one in shards.
    const options = family === 'qwen2' ? { format: 'BF16' as const } : family === 'llava' ? { shardBytes: 10_000 } : {};
    await exportModel(join(folder, family, 'out'), { family, tensors, base }, options);
    await weights.close();
  }
  const checked = JSON.parse(run('check').trim().split('\n').at(-1)!) as Record<string, unknown>;
  const expected = families.map((family) => [
    family,
    { dtype: family === 'qwen2' ? 'torch.bfloat16' : 'torch.float32', wrong: [], parameters: expect.any(Number) },
  ]);
  expect(checked).toEqual(Object.fromEntries(expected));
});
