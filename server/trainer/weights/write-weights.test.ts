import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeAbandoned, writeNewFolder } from './new-folder.js';
import { bufferBytes } from './number-format.js';
import { WeightFiles } from './weight-files.js';
import { writeSafetensorsFile, writeWeights, type TensorSource } from './write-weights.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-write-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const source = (name: string, shape: number[], values: number[]): TensorSource => ({
  name,
  shape,
  read: () => Float32Array.from(values),
});
const three = [source('a', [2, 2], [1, 2, 3, 4]), source('b', [1], [0.1]), source('c', [3], [5, 6, 7])];

async function readAll(): Promise<Record<string, { dtype: string; shape: readonly number[]; values: number[] }>> {
  const files = await WeightFiles.open(folder);
  const all: Awaited<ReturnType<typeof readAll>> = {};
  for (const [name, { dtype, shape }] of files.tensors)
    all[name] = { dtype, shape, values: [...(await files.read(name))] };
  await files.close();
  return all;
}

describe('writeWeights', () => {
  it('writes one file in F32 that reads the same, and returns its digest', async () => {
    const [written] = await writeWeights(folder, three);
    expect(readdirSync(folder)).toEqual(['model.safetensors']);
    const content = readFileSync(join(folder, 'model.safetensors'));
    expect(written).toEqual({ bytes: content.length, digest: createHash('sha256').update(content).digest('hex') });
    expect(await readAll()).toEqual({
      a: { dtype: 'F32', shape: [2, 2], values: [1, 2, 3, 4] },
      b: { dtype: 'F32', shape: [1], values: [Math.fround(0.1)] },
      c: { dtype: 'F32', shape: [3], values: [5, 6, 7] },
    });
  });

  it('rounds to BF16, also of more values than its buffer holds', async () => {
    const length = bufferBytes / 4 + 3;
    const values = Float32Array.from({ length }, (_, at) => (at % 251) / 3);
    await writeWeights(folder, [{ name: 'long', shape: [length], read: () => values }, three[1]!], { format: 'BF16' });
    const { long, b } = await readAll();
    expect(long!.dtype).toBe('BF16');
    expect(long!.values.every((value, at) => Math.abs(value - values[at]!) <= values[at]! / 256)).toBe(true);
    expect(b!.values).toEqual([0.10009765625]);
  });

  it('writes shards by the names and the index of Hugging Face', async () => {
    await writeWeights(folder, three, { shardBytes: 20 });
    expect(readdirSync(folder).sort()).toEqual([
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ]);
    expect(JSON.parse(readFileSync(join(folder, 'model.safetensors.index.json'), 'utf8'))).toEqual({
      metadata: { total_size: 32 },
      weight_map: {
        a: 'model-00001-of-00002.safetensors',
        b: 'model-00001-of-00002.safetensors',
        c: 'model-00002-of-00002.safetensors',
      },
    });
    expect(Object.keys(await readAll())).toEqual(['a', 'b', 'c']);
  });

  it('gives a tensor that is larger than a shard one of its own', async () => {
    const written = await writeWeights(folder, three, { shardBytes: 4 });
    expect(written).toHaveLength(3);
    expect(Object.keys(await readAll())).toEqual(['a', 'b', 'c']);
  });

  it('asks for one tensor at a time', async () => {
    let open = 0;
    const tensors = three.map((tensor) => ({
      ...tensor,
      read: async () => {
        expect(++open).toBe(1);
        await new Promise(setImmediate);
        open--;
        return tensor.read();
      },
    }));
    await writeWeights(folder, tensors);
  });
});

describe('writeSafetensorsFile', () => {
  it('replaces a file only once all of the new one is written', async () => {
    const path = join(folder, 'model.safetensors');
    await writeSafetensorsFile(path, three.slice(0, 1), { metadata: { step: '4' } });
    const before = readFileSync(path);
    const wrong = { name: 'short', shape: [5], read: () => new Float32Array(4) };
    await expect(writeSafetensorsFile(path, [three[0]!, wrong])).rejects.toThrow(/short of shape \[5\] has 4 values/);
    expect(readFileSync(path)).toEqual(before);
    symlinkSync('/dev/full', `${path}.writing`);
    await expect(writeSafetensorsFile(path, three)).rejects.toThrow(/ENOSPC/);
    expect(readFileSync(path)).toEqual(before);
    expect(readdirSync(folder)).toEqual(['model.safetensors']);
    await writeSafetensorsFile(path, three);
    expect(Object.keys(await readAll())).toEqual(['a', 'b', 'c']);
  });
});

describe('writeNewFolder', () => {
  const fill = (content: string) => (temporary: string) =>
    Promise.resolve(writeFileSync(join(temporary, 'file'), content));

  it('gives a folder its name once it is full, and keeps one that has content', async () => {
    const target = join(folder, 'a', 'model');
    const whenFilled = (temporary: string): Promise<void> => {
      expect(readdirSync(join(folder, 'a'))).not.toContain('model');
      return fill('first')(temporary);
    };
    expect(await writeNewFolder(target, whenFilled)).toBe(true);
    expect(await writeNewFolder(target, () => Promise.reject(new Error('filled again')))).toBe(false);
    expect(readFileSync(join(target, 'file'), 'utf8')).toBe('first');
    expect(readdirSync(join(folder, 'a'))).toEqual(['model']);
  });

  it('takes an empty folder', async () => {
    mkdirSync(join(folder, 'model'));
    expect(await writeNewFolder(join(folder, 'model'), fill('new'))).toBe(true);
  });

  it('has one winner among writers at the same time', async () => {
    const target = join(folder, 'model');
    const won = await Promise.all(['a', 'b', 'c'].map((content) => writeNewFolder(target, fill(content))));
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(readFileSync(join(target, 'file'), 'utf8')).toBe('abc'[won.indexOf(true)]);
    expect(readdirSync(folder)).toEqual(['model']);
  });

  it('leaves nothing behind when filling fails', async () => {
    const failing = writeNewFolder(join(folder, 'model'), async (temporary) => {
      await fill('half')(temporary);
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    });
    await expect(failing).rejects.toThrow('no space');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('removes what writers that were killed more than a day ago left behind', async () => {
    const target = join(folder, 'model');
    const [old, young, other] = [`${target}.writing-0`, `${target}.writing-1`, join(folder, 'other.writing-0')];
    for (const path of [old, young, other]) mkdirSync(join(path, 'inside'), { recursive: true });
    for (const path of [old, other]) utimesSync(path, new Date(0), new Date(0));
    await removeAbandoned(target);
    expect(readdirSync(folder).sort()).toEqual(['model.writing-1', 'other.writing-0']);
    await removeAbandoned(join(folder, 'no', 'model'));
  });
});
