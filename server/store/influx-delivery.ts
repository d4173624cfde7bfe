import { appendFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { InfluxClient } from './influx-client.js';
import { backoffMs, insist, messageOf, pause } from './influx-retry.js';
import type { Spool, SpoolRecord } from './spool.js';

/** Bytes of one request: large enough that InfluxDB's sync to disk does not count, small enough to be answered soon. */
const maxBatchBytes = 4 << 20;
/** Payloads kept in memory for the next requests; what is above is read from disk again when its turn comes. */
const maxHeldBytes = 64 << 20;

export interface DeliveryOptions {
  /** InfluxDB has these; the spool lets go of them after this, or they are delivered again. */
  beforeRelease: (records: readonly SpoolRecord[]) => Promise<void>;
  /** Everything up to this number is in InfluxDB (or set aside, which `onRefused` has told). */
  onDelivered: (number: number) => void;
  /** Lines that InfluxDB will never take; they are in `path`. */
  onRefused: (lines: number, problem: string, path: string) => void;
  /** Nothing goes through from now on, for this reason; null: it does again. Told at both ends, not at each attempt. */
  onProblem: (problem: string | null) => void;
}

/**
 * Brings what is in the spool to InfluxDB, in order, one request at a time, for as long as it takes. A request is
 * answered with 204 or its lines go again: the same line twice is the same point, so nothing is there twice. Lines that
 * InfluxDB refuses for what they are, which would block the way for ever, are set aside in a file.
 */
export class InfluxDelivery {
  /** Appended lately, in order; empty or contiguous up to the spool's last. */
  #held: SpoolRecord[] = [];
  #heldBytes = 0;
  #delivered: number;
  #running: Promise<void> | null = null;
  #stopping = new AbortController();
  #wake: () => void = () => undefined;
  #problem: string | null = null;
  #retries = 0;

  constructor(
    readonly spool: Spool,
    readonly client: InfluxClient,
    readonly options: DeliveryOptions,
  ) {
    this.#delivered = spool.released;
  }

  /** Why nothing goes through at present, or null. */
  get problem(): string | null {
    return this.#problem;
  }
  get delivered(): number {
    return this.#delivered;
  }
  get retries(): number {
    return this.#retries;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Something new is in the spool. */
  appended(record: SpoolRecord): void {
    const before = this.#held.at(-1)?.number ?? this.#delivered;
    if (record.number === before + 1 && this.#heldBytes + record.payload.length <= maxHeldBytes) {
      this.#held.push(record);
      this.#heldBytes += record.payload.length;
    }
    this.#wake();
  }

  /** Waits until everything up to `number` is delivered. @returns false when it was not within `limitMs` */
  async until(number: number, limitMs: number): Promise<boolean> {
    const endMs = performance.now() + limitMs;
    // The loop below it is quick, or long: looking every few milliseconds serves both.
    while (this.#delivered < number && performance.now() < endMs && this.#problem === null) await sleep(2);
    return this.#delivered >= number;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#running;
  }

  /** Whatever goes wrong, it goes on: what is in the spool has been acknowledged. */
  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#deliverNext();
        failures = 0;
      } catch (error) {
        this.#setProblem(messageOf(error));
        this.#retries++;
        await pause(backoffMs(failures++), signal);
      }
    }
  }

  /** Brings a request's worth to InfluxDB, or waits for something new. */
  async #deliverNext(): Promise<void> {
    const { signal } = this.#stopping;
    const batch = await this.#next();
    if (batch.length === 0)
      return new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (this.#delivered < this.spool.last || signal.aborted) resolve();
      });
    const lines = batch.map(({ payload }) => linesIn(payload));
    if (!(await this.#deliver(lines.filter((text) => text !== '')))) return;
    await this.options.beforeRelease(batch);
    const { number } = batch.at(-1)!;
    // A cursor that cannot be written costs a second delivery at the next start, nothing else.
    this.#setProblem(await this.spool.release(number).then(() => null, messageOf));
    this.#delivered = number;
    while (this.#held.length > 0 && this.#held[0]!.number <= number)
      this.#heldBytes -= this.#held.shift()!.payload.length;
    this.options.onDelivered(number);
  }

  #setProblem(problem: string | null): void {
    const isChange = (problem === null) !== (this.#problem === null);
    this.#problem = problem;
    if (isChange) this.options.onProblem(problem);
  }

  /** The next records, up to the size of a request; at least one where there is one. */
  async #next(): Promise<SpoolRecord[]> {
    if (this.#delivered >= this.spool.last) return [];
    const source = this.#held[0]?.number === this.#delivered + 1 ? this.#held : this.spool.read(this.#delivered);
    const batch: SpoolRecord[] = [];
    let bytes = 0;
    for await (const record of source) {
      if (batch.length > 0 && bytes + record.payload.length > maxBatchBytes) break;
      batch.push(record);
      bytes += record.payload.length;
    }
    return batch;
  }

  /** @returns false when it was stopped before all of it was delivered */
  async #deliver(texts: string[]): Promise<boolean> {
    if (texts.length === 0) return true;
    const answer = await insist((again) => this.client.write(texts.join('\n'), again), {
      signal: this.#stopping.signal,
      onLater: (problem) => {
        this.#setProblem(problem);
        this.#retries++;
      },
    });
    return answer?.kind === 'refused' ? this.#halve(texts, answer.problem) : answer !== null;
  }

  /** Finds the lines that are refused by halving, and sets them aside. */
  async #halve(texts: string[], problem: string): Promise<boolean> {
    const lines = texts.join('\n').split('\n');
    // InfluxDB takes the lines it can and says how many it has dropped: where that is all of them, the search is over.
    const dropped = Number(/\bdropped=(\d+)$/.exec(problem)?.[1] ?? 0);
    // The others are stored by now, so their order is free: what is refused for the same reason comes to lie together.
    if (dropped > 0)
      lines.sort((a, b) => (measurementOf(a) < measurementOf(b) ? -1 : Number(measurementOf(a) > measurementOf(b))));
    if (lines.length === 1 || dropped >= lines.length) {
      const path = await this.#setAside(lines, problem);
      this.options.onRefused(lines.length, problem, path);
      return true;
    }
    const middle = Math.ceil(lines.length / 2);
    return (await this.#deliver(lines.slice(0, middle))) && (await this.#deliver(lines.slice(middle)));
  }

  /** @returns the file that the lines are in now @throws Error when they could not be kept, so that they must be sent again */
  async #setAside(lines: readonly string[], problem: string): Promise<string> {
    const path = join(this.spool.folder, 'refused-lines.jsonl');
    const atMs = Date.now();
    const entries = lines.map((line) => JSON.stringify({ atMs, problem, line }) + '\n');
    try {
      await appendFile(path, entries.join(''), { mode: 0o600 });
      const file = await open(path, 'r+');
      await file.sync().finally(() => file.close());
    } catch (error) {
      throw new Error(
        `InfluxDB refuses ${lines.length} line(s) (${problem}), and they cannot be set aside in ${path}: ` +
          `${messageOf(error)}. Make room or make it writable; what comes after them waits.`,
        { cause: error },
      );
    }
    return path;
  }
}

const measurementOf = (line: string): string => line.slice(0, line.indexOf(','));

/** A record is a line about itself (see InfluxStore) and then lines for InfluxDB. */
function linesIn(payload: Buffer): string {
  return payload.subarray(payload.indexOf(10) + 1).toString();
}
