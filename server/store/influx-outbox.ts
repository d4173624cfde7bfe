import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import { noPosition, StoreUnavailableError, type Position, type StoredRun } from './event-store.js';
import type { InfluxClient } from './influx-client.js';
import type { Deletion } from './influx-deletion.js';
import { InfluxDelivery } from './influx-delivery.js';
import { PointRemoval } from './influx-point-removal.js';
import { Spool, type Damage } from './spool.js';

export interface InfluxOutboxOptions {
  /** Folder of the spool. */
  spoolFolder: string;
  /** Bytes that may wait on disk for InfluxDB. */
  maxSpoolBytes?: number;
  /** Reports damage on disk, lines that InfluxDB refuses, and that nothing gets through any more. */
  onProblem?: (message: string) => void;
  /** Reports that deliveries get through again. */
  onMended?: (message: string) => void;
}

export type VersionedRun = StoredRun & { version: number };

/** How far a run goes, and where its points end in time. */
export interface Reach extends Position {
  /** The largest step of any of its segments. */
  endStep: number;
}
export const noReach: Reach = { ...noPosition, endStep: 0 };

/** The header of a spool record; its lines follow. */
type Envelope =
  /** Older versions wrote no `endStep`: `lastStep` was the largest step. */
  | ({ kind: 'events'; runId: RunId; endStep?: number } & Position)
  | { kind: 'run'; run: StoredRun; version: number }
  | { kind: 'command'; record: CommandRecord }
  | ({ kind: 'deletion' } & Deletion);

/** A value on its way to InfluxDB, and the number of the spool record that carries it. */
interface OnItsWay<T> {
  number: number;
  value: T;
}
interface Open {
  spool: Spool;
  delivery: InfluxDelivery;
}

/** How long a reader waits until new writes have reached InfluxDB. */
export const settleMs = 2000;

/**
 * The hub's writes that InfluxDB may not have yet: durable in the spool, delivered in order, and held in memory until
 * readers can find them in InfluxDB. It opens at first use and resumes what an earlier process left.
 */
export class InfluxOutbox {
  #opening: Promise<Open> | null = null;
  #closed = false;
  readonly #runs = new Map<RunId, OnItsWay<VersionedRun>>();
  readonly #commands = new Map<CommandId, OnItsWay<CommandRecord>>();
  /** Commands that the previous process left in the spool. */
  readonly #leftOver = new Map<CommandId, CommandRecord>();
  /** Runs with records that the previous process left in the spool, delivered since or not. */
  readonly #leftOverRuns = new Set<RunId>();
  /** How far InfluxDB has each run that this hub writes. */
  readonly #delivered = new Map<RunId, Reach>();
  /** Batches of events on their way, in order. */
  #parts: OnItsWay<{ runId: RunId } & Reach>[] = [];
  /** Deletions on their way, by their own ids. */
  readonly #deletions = new Map<string, OnItsWay<Deletion>>();
  readonly #removal: PointRemoval;

  constructor(
    readonly client: InfluxClient,
    readonly options: InfluxOutboxOptions,
  ) {
    const { spoolFolder: folder, onProblem = () => undefined, onMended = () => undefined } = options;
    this.#removal = new PointRemoval(client, { folder, onProblem, onMended });
  }

  /** @throws StoreUnavailableError when the spool cannot be used, or after `close` */
  open(): Promise<Open> {
    if (this.#closed) return Promise.reject(new StoreUnavailableError('The store is closed.'));
    this.#opening ??= this.#start().catch((error: unknown) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  /** Makes lines durable and queues them for delivery. */
  async add(envelope: Envelope, lines: string[]): Promise<void> {
    const { spool, delivery } = await this.open();
    const payload = Buffer.from(`${JSON.stringify(envelope)}\n${lines.join('\n')}`);
    const number = await spool.append(payload);
    this.#remember(number, envelope);
    delivery.appended({ number, payload });
  }

  run(runId: RunId): VersionedRun | undefined {
    return this.#runs.get(runId)?.value;
  }
  get runs(): VersionedRun[] {
    return [...this.#runs.values()].map(({ value }) => value);
  }
  command(commandId: CommandId): CommandRecord | undefined {
    return this.#commands.get(commandId)?.value;
  }
  get commands(): CommandRecord[] {
    return [...this.#commands.values()].map(({ value }) => value);
  }
  /** This hub's deletions whose points may still be in InfluxDB. */
  get deletions(): Deletion[] {
    return [...[...this.#deletions.values()].map(({ value }) => value), ...this.#removal.waiting];
  }
  /** Runs that are being deleted: their data in InfluxDB does not count. */
  get deleting(): ReadonlySet<RunId> {
    return new Set(this.deletions.map(({ runId }) => runId));
  }
  /** Which deletion is held up and why, or null. */
  get deletionProblem(): string | null {
    return this.#removal.problem;
  }
  /** Runs with records on their way, or left by the previous process. */
  get runIds(): RunId[] {
    const [parts, commands] = [this.#parts.map(({ value }) => value), this.commands];
    return [...new Set([...this.#leftOverRuns, ...[...this.runs, ...parts, ...commands].map(({ runId }) => runId)])];
  }

  /** Forgets a deleted run. */
  forget(runId: RunId): void {
    this.#runs.delete(runId);
    this.#delivered.delete(runId);
    this.#leftOverRuns.delete(runId);
    this.#parts = this.#parts.filter(({ value }) => value.runId !== runId);
    for (const [commandId, { value }] of this.#commands) if (value.runId === runId) this.#commands.delete(commandId);
    for (const [commandId, record] of this.#leftOver) if (record.runId === runId) this.#leftOver.delete(commandId);
  }

  /** Open commands that the previous process had not delivered. */
  get leftOver(): CommandRecord[] {
    return [...this.#leftOver.values()].filter(({ state }) => state === 'pending');
  }

  /** How far a run goes by this hub's undelivered events; undefined when all are delivered. */
  onItsWay(runId: RunId): Reach | undefined {
    return this.#parts.reduce<Reach | undefined>(
      (reach, { value }) => (value.runId === runId ? further(reach, value) : reach),
      undefined,
    );
  }
  /** How far InfluxDB is known to have a run; undefined when it was not asked yet. */
  delivered(runId: RunId): Reach | undefined {
    return this.#delivered.get(runId);
  }
  /** Records how far InfluxDB was seen to have a run. */
  sawDelivered(runId: RunId, reach: Reach): void {
    this.#delivered.set(runId, further(this.#delivered.get(runId), reach));
  }
  /** Waits up to `settleMs` for the delivery of a run's events. */
  async settle(runId: RunId): Promise<void> {
    const { delivery } = await this.open();
    const newest = this.#parts.findLast(({ value }) => value.runId === runId);
    if (newest) await delivery.until(newest.number, settleMs);
  }

  /**
   * Waits until all additions are in InfluxDB and all deletions are done.
   * @returns false when `limitMs` passed first
   */
  drained(limitMs: number): Promise<boolean> {
    return this.#within(
      limitMs,
      ({ spool }) => spool.last,
      () => this.#removal.isDone,
    );
  }

  /** Waits until a command's newest record is in InfluxDB. @returns false when `limitMs` passed first */
  async arrived(commandId: CommandId, limitMs: number): Promise<boolean> {
    const onItsWay = this.#commands.get(commandId);
    return onItsWay === undefined || (await this.#within(limitMs, () => onItsWay.number));
  }

  async #within(limitMs: number, number: (open: Open) => number, isDone = () => true): Promise<boolean> {
    const open = await this.open();
    const endMs = performance.now() + limitMs;
    while (!(await open.delivery.until(number(open), 50)) || !isDone()) {
      if (performance.now() >= endMs) return false;
      // `until` returns at once when InfluxDB does not answer, or all lines are delivered.
      await sleep(20);
    }
    return true;
  }

  /** Delivers for up to `settleMs`, then closes. The rest is on disk and is delivered after the next start. */
  async close(): Promise<void> {
    if (this.#closed) return;
    const opening = this.#opening;
    if (opening) await this.drained(settleMs).catch(() => false);
    this.#closed = true;
    const open = await opening?.catch(() => null);
    await Promise.all([open?.delivery.stop(), this.#removal.stop()]);
    await open?.spool.close();
  }

  async #start(): Promise<Open> {
    const { spoolFolder, maxSpoolBytes, onProblem = () => undefined, onMended = () => undefined } = this.options;
    const spool = await Spool.open(spoolFolder, {
      ...(maxSpoolBytes !== undefined && { maxBytes: maxSpoolBytes }),
      onDamage: (damage) => onProblem(sayDamage(spoolFolder, damage)),
    });
    try {
      await this.#removal.load();
      for await (const { number, payload } of spool.read()) {
        const envelope = envelopeOf(payload);
        this.#remember(number, envelope);
        if (envelope.kind === 'command') this.#leftOver.set(envelope.record.commandId, envelope.record);
      }
      // After a power cut that lost the cursor, a deletion may be here again, with lines before it that InfluxDB has since
      // deleted and receives again.
      const noted = [...this.#deletions.values()].map(({ value }) => value.runId);
      for (const runId of [...this.runIds, ...noted]) this.#leftOverRuns.add(runId);
    } catch (error) {
      // The next call opens it again.
      await spool.close();
      throw error;
    }
    const delivery = new InfluxDelivery(spool, this.client, {
      beforeRelease: async (records) => {
        for (const { payload } of records) {
          const { kind, ...deletion } = envelopeOf(payload);
          if (kind === 'deletion') await this.#removal.add(deletion as Deletion);
        }
      },
      onDelivered: (number) => this.#onDelivered(number),
      onRefused: (lines, problem, path) => onProblem(`InfluxDB refuses ${lines} line(s), now in ${path}: ${problem}`),
      onProblem: (problem) =>
        problem === null
          ? onMended('The data that waits on disk goes to InfluxDB again.')
          : onProblem(`New data waits on disk, up to PLUMBLINE_SPOOL_MAX_MB. ${problem}`),
    });
    delivery.start();
    this.#removal.start();
    return { spool, delivery };
  }

  #remember(number: number, envelope: Envelope): void {
    switch (envelope.kind) {
      case 'run': {
        const { run, version } = envelope;
        if ((this.run(run.runId)?.version ?? 0) < version)
          this.#runs.set(run.runId, { number, value: { ...run, version } });
        break;
      }
      case 'command':
        this.#commands.set(envelope.record.commandId, { number, value: envelope.record });
        break;
      case 'events':
        this.#parts.push({ number, value: { ...envelope, endStep: envelope.endStep ?? envelope.lastStep } });
        break;
      case 'deletion':
        this.forget(envelope.runId);
        this.#deletions.set(envelope.id, { number, value: envelope });
    }
  }

  #onDelivered(number: number): void {
    for (const held of [this.#runs, this.#commands, this.#deletions] as Map<string, OnItsWay<unknown>>[])
      for (const [id, entry] of held) if (entry.number <= number) held.delete(id);
    let done = 0;
    for (const part of this.#parts) {
      if (part.number > number) break;
      this.sawDelivered(part.value.runId, part.value);
      done++;
    }
    this.#parts.splice(0, done);
  }
}

/** Merges two accounts of how far a run goes: the last step is that of the last event. */
export function further(a: Reach = noReach, b: Reach): Reach {
  const { lastSeq, lastStep } = b.lastSeq > a.lastSeq ? b : a;
  return { lastSeq, lastStep, endStep: Math.max(a.endStep, b.endStep) };
}

function envelopeOf(payload: Buffer): Envelope {
  return JSON.parse(payload.subarray(0, payload.indexOf(10)).toString()) as Envelope;
}

function sayDamage(folder: string, { segment, kind, offset, bytes, missing }: Damage): string {
  const where = `${join(folder, segment)}, ${bytes} byte(s) at ${offset}`;
  if (kind === 'torn' && !missing)
    return `The spool's last record was cut short (${where}), as by a power cut; nobody was told that it was stored.`;
  const lost = missing ? `Records ${missing.from} to ${missing.to} are lost. ` : '';
  return `The spool was damaged on disk (${where}). ${lost}The rest is kept; the segment as it was is ${segment}.damaged.`;
}
