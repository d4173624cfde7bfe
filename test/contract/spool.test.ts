import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { StoreInUseError } from '../../server/store/event-store.js';
import { InfluxClient } from '../../server/store/influx-client.js';
import { InfluxOutbox } from '../../server/store/influx-outbox.js';
import { Spool, SpoolFullError, type Damage, type SpoolOptions } from '../../server/store/spool.js';

const root = mkdtempSync(join(tmpdir(), 'plumbline-spool-'));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;
const newFolder = (): string => join(root, `${++folders}`);
const text = (number: number): string => `record ${number} ${'x'.repeat(number % 50)}`;

async function written(folder: string, count: number, options: SpoolOptions = {}): Promise<Spool> {
  const spool = await Spool.open(folder, options);
  for (let from = spool.last + 1; from <= count; from += 7)
    await Promise.all(
      Array.from({ length: Math.min(7, count - from + 1) }, (_, i) => spool.append(Buffer.from(text(from + i)))),
    );
  return spool;
}
async function contentOf(spool: Spool): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for await (const { number, payload } of spool.read()) found.set(number, payload.toString());
  return found;
}
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const segments = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.log'))
    .sort();

describe('the spool', () => {
  it('gives back what was appended, in order, across a reopening and over segments', async () => {
    const folder = newFolder();
    await (await written(folder, 40, { segmentBytes: 500 })).close();
    expect(segments(folder).length).toBeGreaterThan(2);
    const spool = await Spool.open(folder);
    const found = await contentOf(spool);
    expect([...found.keys()]).toEqual(numbers(1, 40));
    for (const [number, payload] of found) expect(payload).toBe(text(number));
    expect(await spool.append(Buffer.from('next'))).toBe(41);
    await spool.close();
  });

  it('drops released records, deletes segments without others, and remembers it', async () => {
    const folder = newFolder();
    let spool = await written(folder, 40, { segmentBytes: 500 });
    const before = spool.bytes;
    await spool.release(25);
    expect(spool.depth).toBe(15);
    expect(spool.bytes).toBeLessThan(before);
    await spool.close();
    spool = await Spool.open(folder);
    expect([...(await contentOf(spool)).keys()]).toEqual(numbers(26, 40));
    await spool.release(40);
    expect([spool.depth, spool.ageMs()]).toEqual([0, 0]);
    await spool.close();
    spool = await Spool.open(folder);
    expect(spool.last).toBe(40);
    await spool.close();
  });

  it('continues its numbers after all segments were released and its cursor was lost', async () => {
    const folder = newFolder();
    const spool = await written(folder, 10);
    await spool.release(10);
    await spool.close();
    rmSync(join(folder, 'cursor'));
    const again = await Spool.open(folder);
    expect(again.last).toBe(10);
    await again.close();
  });

  it('delivers again and drops nothing when its cursor is altered', async () => {
    const folder = newFolder();
    const spool = await written(folder, 40, { segmentBytes: 500 });
    await spool.release(25);
    await spool.close();
    const path = join(folder, 'cursor');
    const cursor = readFileSync(path, 'utf8');
    for (const altered of [cursor.replace('25', '35'), cursor.replace('25', '95'), cursor.slice(0, 8), '']) {
      writeFileSync(path, altered);
      const reports: Damage[] = [];
      const again = await Spool.open(folder, { onDamage: (damage) => reports.push(damage) });
      expect([...(await contentOf(again)).keys()]).toEqual(expect.arrayContaining(numbers(26, 40)));
      expect(reports).toEqual([]);
      await again.close();
    }
  });

  it('refuses records above its size limit, keeps its records, and accepts more once there is room', async () => {
    const spool = await written(newFolder(), 20, { maxBytes: 2000, segmentBytes: 300 });
    await expect(spool.append(Buffer.alloc(2000))).rejects.toThrow(SpoolFullError);
    await expect(spool.append(Buffer.alloc(2000))).rejects.toThrow(/Trainers wait until it drains/);
    expect((await contentOf(spool)).size).toBe(20);
    await spool.release(20);
    expect(await spool.append(Buffer.alloc(1000))).toBe(21);
    await spool.close();
  });

  it('has every record before any cut, and accepts new ones', async () => {
    const folder = newFolder();
    await (await written(folder, 12)).close();
    const [name] = segments(folder);
    const whole = readFileSync(join(folder, name!));
    for (let length = 0; length < whole.length; length += 3) {
      const cut = newFolder();
      await (await Spool.open(cut)).close();
      writeFileSync(join(cut, name!), whole);
      truncateSync(join(cut, name!), length);
      const damages: Damage[] = [];
      const spool = await Spool.open(cut, { onDamage: (damage) => damages.push(damage) });
      const found = await contentOf(spool);
      expect([...found.keys()]).toEqual(numbers(1, found.size));
      for (const [number, payload] of found) expect(payload).toBe(text(number));
      expect(damages.length).toBe(length > 0 && spool.bytes < length ? 1 : 0);
      for (const { kind, missing } of damages) expect([kind, missing]).toEqual(['torn', null]);
      expect(await spool.append(Buffer.from('after'))).toBe(found.size + 1);
      await spool.close();
      const again = await Spool.open(cut);
      expect([...(await contentOf(again)).keys()]).toEqual(numbers(1, found.size + 1));
      await again.close();
    }
  });

  it('keeps all other records when a byte is flipped, reports what is lost, and keeps a copy of the segment', async () => {
    const folder = newFolder();
    await (await written(folder, 30, { segmentBytes: 400 })).close();
    const names = segments(folder);
    expect(names.length).toBeGreaterThan(2);
    const contents = new Map(names.map((name) => [name, readFileSync(join(folder, name))]));
    for (const name of names.slice(0, 3)) {
      const content = contents.get(name)!;
      for (let at = 0; at < content.length; at += 5) {
        const copy = newFolder();
        await (await Spool.open(copy)).close();
        for (const [other, bytes] of contents) writeFileSync(join(copy, other), bytes);
        const flipped = Buffer.from(content);
        flipped[at]! ^= 0x41;
        writeFileSync(join(copy, name), flipped);
        const damages: Damage[] = [];
        const spool = await Spool.open(copy, { onDamage: (damage) => damages.push(damage) });
        const found = await contentOf(spool);
        expect(found.size).toBe(29);
        for (const [number, payload] of found) expect(payload).toBe(text(number));
        const [lost] = numbers(1, 30).filter((number) => !found.has(number));
        // The very last record looks as if a power cut had come before anybody was told of it.
        const missing = lost === 30 ? null : { from: lost, to: lost };
        expect(damages).toEqual([expect.objectContaining({ missing })]);
        expect(readFileSync(join(copy, `${name}.damaged`)).equals(flipped)).toBe(true);
        expect(await spool.append(Buffer.from('after'))).toBe(lost === 30 ? 30 : 31);
        await spool.close();
        rmSync(copy, { recursive: true });
      }
    }
  });

  it('says which records are lost when a segment is gone', async () => {
    const folder = newFolder();
    await (await written(folder, 30, { segmentBytes: 400 })).close();
    const names = segments(folder);
    rmSync(join(folder, names[1]!));
    const damages: Damage[] = [];
    const spool = await Spool.open(folder, { onDamage: (damage) => damages.push(damage) });
    const lost = { from: Number(names[1]!.slice(0, 16)), to: Number(names[2]!.slice(0, 16)) - 1 };
    expect(damages).toEqual([expect.objectContaining({ missing: lost })]);
    expect((await contentOf(spool)).size).toBe(30 - (lost.to - lost.from + 1));
    await spool.close();
  });

  it('can be open only once at a time across processes, and is free again when its process is killed', async () => {
    const folder = newFolder();
    const here = await written(folder, 3);
    await expect(Spool.open(folder)).rejects.toThrow(StoreInUseError);
    const open = `
      const { Spool } = await import(${JSON.stringify(new URL('../../server/dist/store/spool.js', import.meta.url).href)});
      const spool = await Spool.open(${JSON.stringify(folder)}).catch((error) => console.log(error.name));
      if (spool) { console.log('open'); setInterval(() => undefined, 1000); }`;
    const args = ['--input-type=module', '-e', open];
    expect((await promisify(execFile)(process.execPath, args)).stdout).toBe('StoreInUseError\n');
    expect([...(await contentOf(here)).keys()]).toEqual([1, 2, 3]);
    expect(await here.append(Buffer.from('next'))).toBe(4);
    await here.close();

    const child = execFile(process.execPath, args);
    expect((await once(child.stdout!, 'data'))[0]).toBe('open\n');
    await expect(Spool.open(folder)).rejects.toThrow(/Another hub has .* open/);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const again = await Spool.open(folder);
    expect(again.last).toBe(4);
    await again.close();
  });

  it('is released by a store that cannot read its records', async () => {
    const folder = newFolder();
    const spool = await Spool.open(folder);
    await spool.append(Buffer.from('no record of a store\n'));
    await spool.close();
    const client = new InfluxClient({ url: 'http://127.0.0.1:9', org: 'o', bucket: 'b', token: 't' });
    const outbox = new InfluxOutbox(client, { spoolFolder: folder });
    for (let attempt = 0; attempt < 2; attempt++) await expect(outbox.open()).rejects.toThrow(SyntaxError);
    await (await Spool.open(folder)).close();
    await outbox.close();
  });

  it('keeps nothing of an append that the disk refused, and continues when the disk has room', async () => {
    const folder = newFolder();
    const spool = await written(folder, 3);
    // A folder in the place of the next segment: root may write anywhere, so permissions would not stop this test.
    await spool.close();
    const next = await Spool.open(folder, { segmentBytes: 1 });
    const block = join(folder, '0000000000000004.log');
    mkdirSync(block);
    await expect(next.append(Buffer.from('four'))).rejects.toThrow(/The spool .* \(EISDIR/);
    rmSync(block, { recursive: true });
    expect(await next.append(Buffer.from('four'))).toBe(4);
    expect([...(await contentOf(next)).keys()]).toEqual([1, 2, 3, 4]);
    await next.close();
    expect(existsSync(block)).toBe(true);
  });
});
