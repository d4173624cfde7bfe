import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import { isControlEvent, type ControlEvent } from '@plumbline/shared/trainer-event';
import {
  newestOf,
  newEvents,
  noPosition,
  StoreConflictError,
  type EventStore,
  type LargeEventRange,
  type Position,
  type StoredRun,
  type StoredSummary,
  type TakeTexts,
} from '../../server/store/event-store.js';
import { upToDateEvent, type StoredEvent } from '../../server/store/protocol-1.js';

/** A store of runs, events and commands in memory, for tests of a store's users. It has no series. */
export class MemoryStore implements EventStore {
  readonly #runs = new Map<RunId, StoredRun>();
  readonly #events = new Map<RunId, StoredEvent[]>();
  readonly #commands = new Map<CommandId, CommandRecord>();
  readonly #deleted = new Set<RunId>();

  createRun(run: StoredRun): Promise<void> {
    if (this.#runs.has(run.runId))
      return Promise.reject(new StoreConflictError(`There is a run ${run.runId} already.`));
    this.#runs.set(run.runId, run);
    this.#deleted.delete(run.runId);
    return Promise.resolve();
  }
  updateRun(run: StoredRun): Promise<void> {
    if (this.#runs.has(run.runId)) this.#runs.set(run.runId, run);
    return Promise.resolve();
  }
  run(runId: RunId): Promise<StoredSummary | null> {
    const run = this.#runs.get(runId);
    return Promise.resolve(run ? { ...run, ...this.#position(runId) } : null);
  }
  async runs(): Promise<StoredSummary[]> {
    const all = await Promise.all([...this.#runs.keys()].map((runId) => this.run(runId)));
    return all.filter((run) => run !== null);
  }
  deleteRun(runId: RunId): Promise<void> {
    if (this.#runs.delete(runId)) this.#deleted.add(runId);
    this.#events.delete(runId);
    for (const [id, record] of this.#commands) if (record.runId === runId) this.#commands.delete(id);
    return Promise.resolve();
  }
  deletedRuns(): Promise<RunId[]> {
    return Promise.resolve([...this.#deleted]);
  }
  append<E extends StoredEvent>(runId: RunId, events: readonly E[]): Promise<{ lastSeq: number; appended: E[] }> {
    try {
      const { appended, lastSeq } = newEvents(runId, this.#position(runId), events);
      this.#events.set(runId, [...(this.#events.get(runId) ?? []), ...appended]);
      return Promise.resolve({ lastSeq, appended });
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }
  lastSeq(runId: RunId): Promise<number> {
    return Promise.resolve(this.#position(runId).lastSeq);
  }
  events(runId: RunId, fromSeq: number, limit: number): Promise<StoredEvent[]> {
    return Promise.resolve((this.#events.get(runId) ?? []).slice(fromSeq - 1, fromSeq - 1 + limit));
  }
  history(runId: RunId) {
    return Promise.resolve({ lastSeq: this.#position(runId).lastSeq, series: new Map() });
  }
  eachSeries(runId: RunId): Promise<{ lastSeq: number }> {
    return this.lastSeq(runId).then((lastSeq) => ({ lastSeq }));
  }
  lastPoints(runId: RunId) {
    return Promise.resolve({ lastSeq: this.#position(runId).lastSeq, points: new Map() });
  }
  windows() {
    return Promise.resolve(new Map());
  }
  eachWindows(): Promise<void> {
    return Promise.resolve();
  }
  async eachControlEvents(
    runId: RunId,
    take: TakeTexts,
    { types }: { types?: readonly ControlEvent['type'][] } = {},
  ): Promise<{ lastSeq: number }> {
    const all = (this.#events.get(runId) ?? []).filter(isControlEvent);
    const stored = all.filter(({ type }) => types?.includes(type) ?? true);
    await take(stored.map((event) => JSON.stringify(upToDateEvent(event))));
    return { lastSeq: this.#position(runId).lastSeq };
  }
  async eachLargeEvent(
    runId: RunId,
    range: LargeEventRange,
    take: TakeTexts,
  ): Promise<{ lastSeq: number; earlier: number }> {
    const { type, fromStep = 0, toStep = Infinity, beforeSeq = Infinity } = range;
    const found = (this.#events.get(runId) ?? [])
      .filter((event) => event.type === type && event.step >= fromStep && event.step <= toStep && event.seq < beforeSeq)
      .map((event) => JSON.stringify(event))
      .map((text) => ({ text, bytes: text.length }));
    const wanted = newestOf(found.reverse(), range);
    await take(wanted.map(({ text }) => text));
    return { lastSeq: this.#position(runId).lastSeq, earlier: found.length - wanted.length };
  }
  putCommand(record: CommandRecord): Promise<void> {
    this.#commands.set(record.commandId, record);
    return Promise.resolve();
  }
  command(commandId: CommandId): Promise<CommandRecord | null> {
    return Promise.resolve(this.#commands.get(commandId) ?? null);
  }
  commands(runId: RunId): Promise<CommandRecord[]> {
    return Promise.resolve([...this.#commands.values()].filter((record) => record.runId === runId));
  }
  async eachCommands(runId: RunId, take: TakeTexts): Promise<void> {
    await take((await this.commands(runId)).map((record) => JSON.stringify(record)));
  }
  runsWithOpenCommands(): Promise<RunId[]> {
    const open = [...this.#commands.values()].filter(({ state }) => state === 'pending');
    return Promise.resolve([...new Set(open.map(({ runId }) => runId))]);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }

  #position(runId: RunId): Position {
    const last = this.#events.get(runId)?.at(-1);
    return last ? { lastSeq: last.seq, lastStep: last.step } : noPosition;
  }
}
