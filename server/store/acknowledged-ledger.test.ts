import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { AcknowledgedLedger, type Held } from './acknowledged-ledger.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-ledger-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = () => join(folder, `ledger-${++files}`);

const held = (runs: Record<string, [lastSeq: number, commands: number]>, deleted: string[] = []): Held => ({
  runs: new Map(
    Object.entries(runs).map(([runId, [lastSeq, commands]]) => [runId, { lastSeq, commands, lastStep: lastSeq }]),
  ),
  deleted: new Set(deleted),
});

async function opened(path: string, compactBytes?: number) {
  const problems: string[] = [];
  const mended: string[] = [];
  const ledger = await AcknowledgedLedger.open(path, {
    ...(compactBytes !== undefined && { compactBytes }),
    onProblem: (message) => problems.push(message),
    onMended: (message) => mended.push(message),
  });
  return { ledger, problems, mended };
}
/** A ledger that has counted two runs. */
async function counted(): Promise<string> {
  const path = newPath();
  const { ledger } = await opened(path);
  await ledger.reconcile(held({ a: [0, 0] }));
  for (const lastSeq of [10, 20, 30]) {
    ledger.count('a', { lastSeq });
    await ledger.flush();
  }
  ledger.count('b', { lastSeq: 5, commands: 2 });
  await ledger.close();
  return path;
}
const lossesOf = async (path: string, store: Held) => (await (await opened(path)).ledger.reconcile(store)).length;

describe('the ledger of acknowledged data', () => {
  it('finds no loss in a store with the same data, or more', async () => {
    expect(await lossesOf(await counted(), held({ a: [30, 0], b: [5, 2] }))).toBe(0);
    // A crash came between the commit and the count.
    expect(await lossesOf(await counted(), held({ a: [40, 1], b: [5, 2], c: [3, 0] }))).toBe(0);
    // A version without a ledger has deleted one.
    expect(await lossesOf(await counted(), held({ a: [30, 0] }, ['b']))).toBe(0);
  });

  it('begins with the counts of the store when there is no ledger', async () => {
    expect(await lossesOf(newPath(), held({ a: [30, 0] }))).toBe(0);
  });

  it('ignores an unfinished last line, as a crash leaves it', async () => {
    const path = await counted();
    appendFileSync(path, '0123456789abcdef {"run":"a","lastS');
    const { ledger, problems } = await opened(path);
    expect([await ledger.reconcile(held({ a: [30, 0], b: [5, 2] })), problems]).toEqual([[], []]);
    ledger.count('a', { lastSeq: 50 });
    await ledger.close();
    expect(await lossesOf(path, held({ a: [30, 0], b: [5, 2] }))).toBe(1);
  });

  it('loses at most one line to an altered byte, never invents a loss, and reports the damage', async () => {
    const path = await counted();
    const content = readFileSync(path);
    const whole = held({ a: [30, 0], b: [5, 2] });
    for (let at = 0; at < content.length; at++) {
      const altered = Buffer.from(content);
      altered[at]! ^= 0x04;
      writeFileSync(path, altered);
      const { ledger, problems } = await opened(path);
      expect(await ledger.reconcile(whole)).toEqual([]);
      if (at < content.length - 1) expect(problems).toEqual([expect.stringMatching(/lines cannot be read/)]);
      await ledger.close();
      writeFileSync(path, altered);
      // Nothing of both runs: at least what the other lines say is missed.
      expect(await lossesOf(path, held({}))).toBeGreaterThan(0);
    }
  });

  it('stays small, however much it counts', async () => {
    const path = newPath();
    const { ledger } = await opened(path, 2000);
    for (let lastSeq = 1; lastSeq <= 500; lastSeq++) {
      ledger.count('a', { lastSeq });
      await ledger.flush();
      expect(statSync(path).size).toBeLessThan(2200);
    }
    await ledger.close();
    expect(await lossesOf(path, held({ a: [499, 0] }))).toBe(1);
  });

  it('reports once that it cannot be written, does not stop the store, and catches up afterwards', async () => {
    const path = newPath();
    // Where the file is written anew.
    mkdirSync(`${path}.writing`);
    const { ledger, problems, mended } = await opened(path);
    for (const lastSeq of [1, 2, 3]) {
      ledger.count('a', { lastSeq });
      await ledger.flush();
    }
    expect([problems.length, problems[0]]).toEqual([1, expect.stringMatching(/cannot be written.*Storing goes on/)]);
    rmSync(`${path}.writing`, { recursive: true });
    ledger.count('a', { lastSeq: 4 });
    await ledger.close();
    expect(mended).toEqual([expect.stringMatching(/can be written again/)]);
    expect(await lossesOf(path, held({ a: [3, 0] }))).toBe(1);
  });

  it('reports a loss until it is accepted, also when the run has continued since', async () => {
    const path = await counted();
    const first = await opened(path);
    await first.ledger.reconcile(held({ a: [12, 0], b: [5, 2] }));
    first.ledger.count('a', { lastSeq: 45 });
    await first.ledger.close();
    const second = await opened(path);
    expect(await second.ledger.reconcile(held({ a: [45, 0], b: [5, 2] }))).toEqual([]);
    expect(second.ledger.losses).toMatchObject([{ runId: 'a', events: { from: 13, to: 30 } }]);
    await second.ledger.accept();
    await second.ledger.close();
    const { ledger } = await opened(path);
    expect(ledger.losses).toEqual([]);
  });
});
