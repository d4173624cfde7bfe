import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { bufferBytes } from './number-format.js';
import { headerBytes } from './safetensors-header.js';
import { WeightFiles } from './weight-files.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-weights-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function openFolder(): Promise<WeightFiles> {
  const files = await WeightFiles.open(folder);
  onTestFinished(() => files.close());
  return files;
}

const rawFile = (header: unknown, data: Uint8Array = new Uint8Array()): Buffer => {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
};
const place = (name: string, content: string | Uint8Array): void => writeFileSync(join(folder, name), content);
const bytesOf = (values: Float32Array | Uint16Array): Uint8Array => new Uint8Array(values.buffer);

/** One tensor of two rows in each of the three formats. The header's length is odd: the data is not aligned. */
const mixed = (): Buffer =>
  rawFile(
    {
      __metadata__: { format: 'pt', more: '.' },
      single: { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] },
      half: { dtype: 'F16', shape: [2, 3], data_offsets: [16, 28] },
      brain: { dtype: 'BF16', shape: [2], data_offsets: [28, 32] },
      scalar: { dtype: 'F32', shape: [], data_offsets: [32, 36] },
      ids: { dtype: 'I64', shape: [1], data_offsets: [36, 44] },
    },
    Buffer.concat([
      bytesOf(Float32Array.of(1.5, -2, 3, 1e-30)),
      bytesOf(Uint16Array.of(0x3c00, 0x4000, 0x4200, 0xc400, 0x0001, 0x7bff)),
      bytesOf(Uint16Array.of(0x3f80, 0xc2c8)),
      bytesOf(Float32Array.of(7)),
      new Uint8Array(8),
    ]),
  );

describe('reading', () => {
  it('lists all tensors from the header alone, and reads each format', async () => {
    place('model.safetensors', mixed());
    const files = await openFolder();
    expect([...files.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape])).toEqual([
      ['single', 'F32', [2, 2]],
      ['half', 'F16', [2, 3]],
      ['brain', 'BF16', [2]],
      ['scalar', 'F32', []],
      ['ids', 'I64', [1]],
    ]);
    expect(files.bytesRead).toBe(0);
    expect(await files.read('single')).toEqual(Float32Array.of(1.5, -2, 3, 1e-30));
    expect(await files.read('half')).toEqual(Float32Array.of(1, 2, 3, -4, 2 ** -24, 65504));
    expect(await files.read('brain')).toEqual(Float32Array.of(1, -100));
    expect(await files.read('scalar')).toEqual(Float32Array.of(7));
  });

  it('reads of a range of rows these rows’ bytes only', async () => {
    place('model.safetensors', mixed());
    const files = await openFolder();
    expect(await files.read('half', { from: 1, to: 2 })).toEqual(Float32Array.of(-4, 2 ** -24, 65504));
    expect(files.bytesRead).toBe(6);
    expect(await files.read('half', { from: 2, to: 2 })).toEqual(new Float32Array());
    await expect(files.read('half', { from: 1, to: 3 })).rejects.toThrow(
      'half has 2 rows; rows 1 to 3 were asked for.',
    );
  });

  it('reads a tensor larger than its buffer, in parts', async () => {
    const length = bufferBytes / 4 + 5;
    const bits = Uint16Array.from({ length }, (_, at) => at % 31_000);
    const header = headerBytes([{ name: 'long', dtype: 'BF16', shape: [length], bytes: length * 2 }], {});
    place('model.safetensors', Buffer.concat([header, bytesOf(bits)]));
    const values = await (await openFolder()).read('long');
    expect(new Uint32Array(values.buffer).every((value, at) => value >>> 16 === bits[at])).toBe(true);
  });

  it('reads rows beyond 4 GiB', async () => {
    const rows = 600_000_000;
    const tensors = [
      { name: 'huge', dtype: 'F32', shape: [rows, 2], bytes: rows * 8 },
      { name: 'last', dtype: 'F16', shape: [2], bytes: 4 },
    ];
    const header = headerBytes(tensors, {});
    const path = join(folder, 'model.safetensors');
    const end = header.length + rows * 8;
    // A sparse file: what is not written takes no space.
    const file = await open(path, 'w');
    await file.write(header);
    await file.write(bytesOf(Float32Array.of(5, 6)), 0, 8, end - 8);
    await file.write(bytesOf(Uint16Array.of(0x3c00, 0xbc00)), 0, 4, end);
    await file.close();
    const files = await openFolder();
    expect(await files.read('huge', { from: rows - 2, to: rows })).toEqual(Float32Array.of(0, 0, 5, 6));
    expect(await files.read('last')).toEqual(Float32Array.of(1, -1));
    expect(files.bytesRead).toBe(20);
  });

  it('opens a file of any name', async () => {
    place('optimizer.safetensors', mixed());
    const files = await WeightFiles.openFile(join(folder, 'optimizer.safetensors'));
    onTestFinished(() => files.close());
    expect(await files.read('brain')).toEqual(Float32Array.of(1, -100));
    await expect(WeightFiles.openFile(join(folder, 'no'))).rejects.toThrow(`There is no file ${join(folder, 'no')}.`);
  });

  it('has the SHA-256 of the files as its digest', async () => {
    place('model.safetensors', mixed());
    expect(await (await openFolder()).digest()).toBe(createHash('sha256').update(mixed()).digest('hex'));
  });
});

const shard = (name: string, value: number): Buffer =>
  rawFile({ [name]: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }, bytesOf(Float32Array.of(value)));
const index = (weightMap: unknown): string => JSON.stringify({ metadata: { total_size: 8 }, weight_map: weightMap });

describe('shards', () => {
  beforeEach(() => {
    place('model-00001-of-00002.safetensors', shard('a', 1));
    place('model-00002-of-00002.safetensors', shard('b', 2));
    place(
      'model.safetensors.index.json',
      index({ a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' }),
    );
  });

  it('are read through their index', async () => {
    const files = await openFolder();
    expect([await files.read('b'), await files.read('a')]).toEqual([Float32Array.of(2), Float32Array.of(1)]);
  });

  it('a missing one is named, with the number of its tensors', async () => {
    rmSync(join(folder, 'model-00002-of-00002.safetensors'));
    await expect(openFolder()).rejects.toThrow(
      `${join(folder, 'model-00002-of-00002.safetensors')} is missing; model.safetensors.index.json lists a tensor in it. Download this shard.`,
    );
  });

  it('a truncated one is named, with the tensor that it cuts', async () => {
    const path = join(folder, 'model-00002-of-00002.safetensors');
    truncateSync(path, readFileSync(path).length - 1);
    await expect(openFolder()).rejects.toThrow(
      /00002-of-00002\.safetensors is cut short: it has \d+ bytes, and b ends/,
    );
  });

  it('a tensor that is listed and absent is named', async () => {
    place('model-00002-of-00002.safetensors', shard('other', 2));
    await expect(openFolder()).rejects.toThrow(
      /index\.json lists b in model-00002-of-00002\.safetensors, which does not have it.*Download the index/,
    );
  });

  it('a tensor of two shards is that of the index; without an entry it is refused', async () => {
    place('model-00001-of-00002.safetensors', shard('b', 1));
    const both = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    place('model.safetensors.index.json', index({ b: both[1] }));
    expect(await (await openFolder()).read('b')).toEqual(Float32Array.of(2));
    place('model-00003.safetensors', shard('a', 1));
    place('model-00004.safetensors', shard('c', 1));
    const twoOf = (name: string): Buffer =>
      rawFile(
        {
          [name]: { dtype: 'F32', shape: [1], data_offsets: [0, 4] },
          twice: { dtype: 'F32', shape: [1], data_offsets: [4, 8] },
        },
        new Uint8Array(8),
      );
    place('model-00003.safetensors', twoOf('a'));
    place('model-00004.safetensors', twoOf('c'));
    place('model.safetensors.index.json', index({ a: 'model-00003.safetensors', c: 'model-00004.safetensors' }));
    await expect(openFolder()).rejects.toThrow(/twice is both in .*00003\.safetensors and in .*00004\.safetensors/);
  });

  it.each([
    ['no JSON', '{"weight_map": {'],
    ['no map', '{"metadata": {}}'],
    ['a map of numbers', index({ a: 1 })],
    ['an empty map', index({})],
    ['a file elsewhere', index({ a: '../model.safetensors' })],
  ])('a damaged index (%s) is refused', async (_, content) => {
    place('model.safetensors.index.json', content);
    await expect(openFolder()).rejects.toThrow(/model\.safetensors\.index\.json .*Download it again\./);
  });
});

describe('a damaged file is refused', () => {
  const entry = (more: object = {}): object => ({ dtype: 'F32', shape: [2], data_offsets: [0, 8], ...more });
  const eight = new Uint8Array(8);
  it.each<[string, Uint8Array, RegExp]>([
    ['empty', new Uint8Array(), /has 0 bytes; a safetensors file has at least 8/],
    ['too large a header', rawFile('x'.repeat(9)).fill(255, 0, 8), /says that its header has \d+ bytes, and at most/],
    ['cut in the header', rawFile({ a: entry() }, eight).subarray(0, 20), /is cut short: it says that its header has/],
    ['another kind of file', Buffer.from('PK\x03\x04\0\0\0\0 a zip archive'), /header has \d+ bytes/],
    ['a header without JSON', rawFile('{"a":', eight), /damaged header: it is not a JSON object/],
    ['a header that is no object', rawFile('[]', eight), /damaged header: it is not a JSON object/],
    ['a header that is no UTF-8', rawFile({ a: entry() }, eight).fill(255, 10, 11), /it is not a JSON object/],
    ['metadata that are no text', rawFile({ __metadata__: { a: 1 } }), /its metadata are not text/],
    ['no offsets', rawFile({ a: { dtype: 'F32', shape: [2] } }, eight), /the entry of a is malformed/],
    ['a negative shape', rawFile({ a: entry({ shape: [-2] }) }, eight), /the entry of a is malformed/],
    [
      'a shape too large',
      rawFile({ a: entry({ shape: [2 ** 40, 2 ** 40] }) }, eight),
      /a, F32 of shape .*takes .*has 8/,
    ],
    ['an unknown type', rawFile({ a: entry({ dtype: 'F33' }) }, eight), /a has the unknown type F33/],
    ['an inherited type', rawFile({ a: entry({ dtype: 'constructor' }) }, eight), /a has the unknown type constructor/],
    ['another shape', rawFile({ a: entry({ shape: [3] }) }, eight), /a, F32 of shape \[3\], takes 12 bytes, and has 8/],
    ['an overlap', rawFile({ a: entry(), b: entry({ data_offsets: [4, 12] }) }, new Uint8Array(12)), /b overlaps/],
    ['a gap', rawFile({ a: entry(), b: entry({ data_offsets: [12, 20] }) }, new Uint8Array(20)), /b leaves a gap/],
    ['an end before the start', rawFile({ a: entry({ data_offsets: [8, 0] }) }, eight), /takes 8 bytes, and has -8/],
    ['cut data', rawFile({ a: entry() }, eight.subarray(1)), /is cut short: .* a ends at byte/],
    ['data behind the last tensor', rawFile({ a: entry() }, new Uint8Array(9)), /1 bytes follow its last tensor/],
  ])('%s', async (_, content, message) => {
    place('model.safetensors', content);
    const refused = openFolder();
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toMatchObject({ name: 'DamagedFileError' });
    await expect(refused).rejects.toThrow(/model\.safetensors .*Download or copy the file again\./);
  });

  it('when it is cut while it is open', async () => {
    place('model.safetensors', mixed());
    const files = await openFolder();
    truncateSync(join(folder, 'model.safetensors'), mixed().length - 10);
    await expect(files.read('scalar')).rejects.toThrow(/ends at byte \d+: it was cut short while it was open/);
  });
});

it('names a tensor that is no weight, or absent', async () => {
  place('model.safetensors', mixed());
  const files = await openFolder();
  await expect(files.read('ids')).rejects.toThrow(
    /ids in .*model\.safetensors has type I64; weights are F32, F16, BF16/,
  );
  await expect(files.read('lost')).rejects.toThrow(/There is no tensor lost in .*model\.safetensors/);
});

describe('a folder without weights', () => {
  it.each([
    ['pytorch_model.bin', /pytorch_model\.bin is a Python pickle.*save the model as safetensors/],
    ['model.Q4_K.gguf', /model\.Q4_K\.gguf is a GGUF file; take the model’s safetensors/],
    ['model-00001-of-00002.safetensors', /It has model-00001-of-00002\.safetensors: .*download the index/],
    ['README.md', /has neither model\.safetensors nor .*Name the folder of a model/],
  ])('with %s', async (name, message) => {
    place(name, '');
    await expect(openFolder()).rejects.toThrow(message);
  });

  it('that does not exist or is a file', async () => {
    await expect(WeightFiles.open(join(folder, 'no'))).rejects.toThrow(`There is no folder ${join(folder, 'no')}.`);
    place('file', '');
    await expect(WeightFiles.open(join(folder, 'file'))).rejects.toThrow(/is a file; name the folder of a model/);
    mkdirSync(join(folder, 'empty'));
    await expect(WeightFiles.open(join(folder, 'empty'))).rejects.toMatchObject({ name: 'DamagedFileError' });
  });
});
