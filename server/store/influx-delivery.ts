import { appendFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { InfluxClient } from './influx-client.js';
import { backoffMs, insist, messageOf, pause } from './influx-retry.js';
import type { Spool, SpoolRecord } from './spool.js';

/** Bytes per request: large enough to make InfluxDB's sync to disk negligible, small enough to be answered soon. */
const maxBatchBytes = 4 << 20;
/** Bytes of payloads kept in memory for the next requests; the rest is read from disk when its turn comes. */
const maxHeldBytes = 64 << 20;

export interface DeliveryOptions {
  /** Called with records that InfluxDB has, before the spool releases them. If it fails, they are delivered again. */
  beforeRelease: (records: readonly SpoolRecord[]) => Promise<void>;
  /** Called when everything up to this number is in InfluxDB, or was set aside and reported to `onRefused`. */
  onDelivered: (number: number) => void;
  /** Called with the number of lines that InfluxDB will never accept; they are in `path`. */
  onRefused: (lines: number, problem: string, path: string) => void;
  /** Called with the reason when deliveries begin to fail, and with null when they succeed again; not at each attempt. */
  onProblem: (problem: string | null) => void;
}

/**
 * Delivers the spool to InfluxDB, in order, one request at a time, for as long as it takes. Lines are sent again until
 * they are answered with 204: the same line twice is the same point, so nothing is duplicated. Invalid lines, which would
 * block delivery for ever, are set aside in a file.
 */
export class InfluxDelivery {
  /** Recently appended records, in order; empty or contiguous up to the spool's last. */
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

  /** Why deliveries fail at present, or null. */
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

  /** Tells that a record was appended to the spool. */
  appended(record: SpoolRecord): void {
    const before = this.#held.at(-1)?.number ?? this.#delivered;
    if (record.number === before + 1 && this.#heldBytes + record.payload.length <= maxHeldBytes) {
      this.#held.push(record);
      this.#heldBytes += record.payload.length;
    }
    this.#wake();
  }

  /** Waits until everything up to `number` is delivered. @returns false when `limitMs` passed first */
  async until(number: number, limitMs: number): Promise<boolean> {
    const endMs = performance.now() + limitMs;
    // Polls: a delivery takes a few milliseconds, or long.
    while (this.#delivered < number && performance.now() < endMs && this.#problem === null) await sleep(2);
    return this.#delivered >= number;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#running;
  }

  /** Never gives up, whatever fails: the spool's content was acknowledged. */
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

  /** Delivers one request's worth, or waits for new records. */
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
    // A cursor that cannot be written only costs a second delivery after the next start.
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

  /** @returns false when it was stopped before everything was delivered */
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

  /** Finds refused lines by bisection and sets them aside. */
  async #halve(texts: string[], problem: string): Promise<boolean> {
    const lines = texts.join('\n').split('\n');
    // InfluxDB stores the valid lines and says how many it dropped. If it dropped all of them, the search is over.
    const dropped = Number(/\bdropped=(\d+)$/.exec(problem)?.[1] ?? 0);
    // The valid lines are stored by now, so order no longer matters: lines refused for the same reason are grouped.
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

  /** @returns the file with the lines @throws Error when they could not be saved and must be sent again */
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
          `${messageOf(error)}. Make room or make it writable; later data waits.`,
        { cause: error },
      );
    }
    return path;
  }
}

const measurementOf = (line: string): string => line.slice(0, line.indexOf(','));

/** The lines for InfluxDB in a record, which begins with a header line (see InfluxOutbox). */
function linesIn(payload: Buffer): string {
  return payload.subarray(payload.indexOf(10) + 1).toString();
}
