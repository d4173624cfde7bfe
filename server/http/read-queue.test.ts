import { describe, expect, it } from 'vitest';
import { Refusal } from '../run/refusal.js';
import { ReadQueue } from './read-queue.js';

const limits = { places: 3, waiting: 4, waitingPerClient: 3, maxWaitMs: 60_000 };
const stays = new AbortController().signal;

/** Reads that end when they are told to; who has begun is told in order. */
class Reads {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();
  constructor(readonly queue: ReadQueue) {}

  start(client: string, name: string, signal = stays): Promise<void> {
    const isKnown = client.startsWith('session');
    return this.queue.run({ name: client, isKnown }, signal, () => {
      this.begun.push(name);
      return new Promise<void>((resolve) => this.#ends.set(name, resolve));
    });
  }
  async end(name: string): Promise<void> {
    this.#ends.get(name)!();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('queue of large reads', () => {
  it('lets a client have all places but one, and another one the last', async () => {
    const reads = new Reads(new ReadQueue(limits));
    for (const name of ['a1', 'a2', 'a3']) void reads.start('a', name);
    void reads.start('b', 'b1');
    expect(reads.begun).toEqual(['a1', 'a2', 'b1']);
    await reads.end('b1');
    expect(reads.begun).toEqual(['a1', 'a2', 'b1']);
    await reads.end('a1');
    expect(reads.begun).toEqual(['a1', 'a2', 'b1', 'a3']);
  });

  it('lets clients take turns, however many reads one of them has waiting', async () => {
    const reads = new Reads(new ReadQueue({ ...limits, places: 1, waiting: 9, waitingPerClient: 9 }));
    for (const name of ['a1', 'a2', 'a3', 'a4']) void reads.start('a', name);
    for (const name of ['b1', 'b2']) void reads.start('b', name);
    for (let i = 0; i < 5; i++) await reads.end(reads.begun.at(-1)!);
    expect(reads.begun).toEqual(['a1', 'a2', 'b1', 'a3', 'b2', 'a4']);
  });

  it('refuses what is too much for one client and for all, and says when to come again', async () => {
    const reads = new Reads(new ReadQueue({ ...limits, places: 1 }));
    for (const name of ['a1', 'a2', 'a3', 'a4']) void reads.start('a', name);
    const tooMany = await reads.start('a', 'a5').catch((error: unknown) => error as Refusal);
    expect(tooMany).toBeInstanceOf(Refusal);
    expect(tooMany).toMatchObject({ code: 'rate_limited', message: expect.stringMatching(/Try again in \d+ s\.$/) });
    expect((tooMany as Refusal).retryAfterS).toBeGreaterThanOrEqual(1);
    void reads.start('b', 'b1');
    await expect(reads.start('c', 'c1')).rejects.toThrow(/too many of them wait already/);
  });

  it('refuses what has waited too long', async () => {
    const reads = new Reads(new ReadQueue({ ...limits, places: 1, maxWaitMs: 10 }));
    void reads.start('a', 'a1');
    await expect(reads.start('b', 'b1')).rejects.toMatchObject({ code: 'rate_limited' });
    expect(reads.queue.waiting).toBe(0);
    await reads.end('a1');
    expect(reads.begun).toEqual(['a1']);
  });

  it('lets a client that goes leave the queue', async () => {
    const reads = new Reads(new ReadQueue({ ...limits, places: 1 }));
    void reads.start('a', 'a1');
    const goes = new AbortController();
    const gone = reads.start('b', 'b1', goes.signal);
    void reads.start('c', 'c1');
    goes.abort(new Error('gone'));
    await expect(gone).rejects.toThrow('gone');
    await reads.end('a1');
    expect(reads.begun).toEqual(['a1', 'c1']);
  });

  it('frees the place of a read that fails', async () => {
    const queue = new ReadQueue({ ...limits, places: 1 });
    const failing = queue.run({ name: 'a', isKnown: false }, stays, () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    expect(queue.reading).toBe(0);
  });

  it('lets one at a time read while memory is short, and none wait for ever', async () => {
    let hasRoom = false;
    const reads = new Reads(new ReadQueue(limits, () => hasRoom));
    for (const name of ['a1', 'a2', 'a3']) void reads.start('a', name);
    expect(reads.begun).toEqual(['a1']);
    await reads.end('a1');
    expect(reads.begun).toEqual(['a1', 'a2']);
    hasRoom = true;
    await reads.end('a2');
    expect(reads.begun).toEqual(['a1', 'a2', 'a3']);
  });

  it('keeps a place for sessions and trainers, whatever others do and also while memory is short', async () => {
    let hasRoom = true;
    const reads = new Reads(new ReadQueue({ ...limits, kept: 1 }, () => hasRoom));
    for (const name of ['a1', 'b1', 'c1', 'd1', 'e1', 'f1']) void reads.start(name[0]!, name);
    await expect(reads.start('g', 'g1')).rejects.toThrow(/too many of them wait already/);
    expect(reads.begun).toEqual(['a1', 'b1']);
    hasRoom = false;
    void reads.start('session 1', 's1');
    // It waits for its turn, where a stranger is refused.
    void reads.start('session 2', 's2');
    expect(reads.begun).toEqual(['a1', 'b1', 's1']);
    await reads.end('s1');
    expect(reads.begun).toEqual(['a1', 'b1', 's1', 's2']);
  });
});
