import type { CommandRecord } from '@plumbline/shared/command';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { Position, StoredSummary } from '../store/event-store.js';
import type { Progress, ToldRun } from './cluster.js';
import { commandEndTypes } from './command-log.js';
import { controlEventsOf } from './control-events.js';
import { Refusal } from './refusal.js';
import type { RunCore } from './run-core.js';
import type { RunEnding } from './run-ending.js';
import { afterEvent, summaryTypes } from './run-state.js';
import { isNotification, type NotificationRecord } from './webhook.js';

/** Types of the events that restore a run: those that change its summary, and the ends of its commands. */
export const restoringTypes = [...summaryTypes, ...commandEndTypes] as const;

/** Moves a run between hubs: one hub holds its lease. */
export class RunLease {
  constructor(
    readonly core: RunCore,
    readonly ending: RunEnding,
  ) {}

  /** Loads a stored run at the start of the hub. */
  load(stored: StoredSummary): Promise<void> {
    return this.core
      .post(async () => {
        // Another hub may have deleted it since the read of the store.
        if (this.core.record.isDeleted(stored) || this.core.summary) return;
        if (!hasEnded(stored.state) && (await this.core.context.cluster.claimIfFree(this.core.runId))) {
          this.core.record.isHeld = true;
          // The hub may have crashed between storing events and recording their consequences.
          const { events } = await controlEventsOf(this.core.context.store, this.core.runId, { types: restoringTypes });
          const end = this.noteForce(await this.core.commands.load(events));
          const run = this.core.record.restore(stored);
          const lastStep = await this.#lastStep(stored, events);
          this.core.record.put({ ...events.reduce(afterEvent, { ...run, state: 'created' }), lastStep });
          this.core.rules.take();
          await this.#endIfOver(end);
          return;
        }
        this.core.record.restore(stored);
      })
      .then(() => this.ending.settled());
  }

  /** Ends the run if an earlier hub crashed before it recorded the end. */
  async #endIfOver(end: CommandRecord | undefined): Promise<void> {
    if (hasEnded(this.core.summary!.state)) this.ending.end(true);
    else if (end) this.ending.endByForce(end.author);
  }

  /**
   * Takes the lease of a run that another hub or none held, and restores its state and commands from the store.
   * @returns the run; a run that has ended in the store is ended here too and released
   */
  async takeUp(acknowledgedSeq: number): Promise<RunSummary> {
    const { store, shared } = this.core.context;
    const stored = (await store.run(this.core.runId)) ?? (await this.#createdElsewhere());
    const position = shared
      ? await shared.takeUp(this.core.runId, acknowledgedSeq)
      : { lastSeq: await store.lastSeq(this.core.runId), lastStep: stored?.lastStep ?? this.core.summary!.lastStep };
    this.core.series.forget();
    const { events } = await controlEventsOf(store, this.core.runId, { types: restoringTypes });
    const end = this.noteForce(await this.core.commands.load(events));
    const known = this.core.summary!;
    const before = { ...known, ...(stored && this.core.record.summaryOf(stored)) };
    const run = events.reduce<RunSummary>(afterEvent, { ...before, state: 'created', reason: '', endedMs: null });
    this.core.record.isHeld = true;
    const { lastSeq } = position;
    const taken = this.core.record.change({ ...run, lastSeq, lastStep: await this.#lastStep(position, events) });
    this.core.rules.take();
    await this.#endIfOver(end);
    return this.core.summary ?? taken;
  }

  /** Writes the record of a run that another hub opened and has not delivered to the store. @returns null */
  async #createdElsewhere(): Promise<null> {
    const { store } = this.core.context;
    if ((await store.deletedRuns()).includes(this.core.runId))
      throw new Refusal('conflict', `The run ${this.core.runId} was deleted. Start a new run.`);
    await store.createRun(this.core.record.stored);
    return null;
  }

  /** The current step of a run. For a run with segments a store may return the largest step so far. */
  async #lastStep({ lastSeq, lastStep }: Position, events: readonly ControlEvent[]): Promise<number> {
    if (!events.some(({ type }) => type === 'segment_started')) return lastStep;
    return (await this.core.context.store.events(this.core.runId, lastSeq, 1)).at(-1)?.step ?? lastStep;
  }

  /**
   * Takes the lease of an ended run, for a trainer that begins another segment. The run stays ended until then.
   * @param events all its `restoringTypes`, ascending by seq
   */
  async holdEnded(acknowledgedSeq: number, events: readonly ControlEvent[]): Promise<RunSummary> {
    const { store, shared } = this.core.context;
    const { runId, record } = this.core;
    const { lastSeq } = shared ? await shared.takeUp(runId, acknowledgedSeq) : { lastSeq: await store.lastSeq(runId) };
    // Another hub may have gone on with it since.
    this.core.series.forget();
    try {
      await this.core.commands.load(events);
      await this.core.series.load(lastSeq);
      const lastStep = await this.#lastStep({ lastSeq, lastStep: this.core.summary!.lastStep }, events);
      record.isHeld = true;
      return record.put({ ...this.core.summary!, lastSeq, lastStep });
    } catch (error) {
      shared?.letGo(runId);
      throw error;
    }
  }

  /** Releases an ended run whose trainer left before its segment began. */
  letGoEnded(): void {
    const { record, summary, context, runId } = this.core;
    if (!summary || !hasEnded(summary.state) || !record.isHeld || this.ending.isUnderWay) return;
    record.isHeld = false;
    context.shared?.letGo(runId);
  }

  /**
   * Adopts a run whose hub is gone: the first hub to claim it holds it and waits for its trainer. For an ended run it takes
   * up the undelivered notifications.
   */
  adopt(): Promise<void> {
    return this.core.post(async () => {
      if (!this.core.summary || this.core.record.isHeld) return;
      if (hasEnded(this.core.summary.state)) return this.#takeUpNotifications();
      if (!(await this.core.context.cluster.claimIfFree(this.core.runId))) return;
      await this.takeUp(0);
      this.core.expectTrainer();
    });
  }

  letGo(): void {
    const { shared, passOn } = this.core.context;
    const open = this.core.commands.open;
    this.core.commands.forget();
    // For an ended run this hub had only notifications.
    if (!this.core.record.isHeld) return;
    this.core.record.isHeld = this.core.record.isDirty = false;
    this.core.series.forget();
    this.core.rules.forget();
    this.core.liveness.cut();
    shared?.letGo(this.core.runId);
    // Its open commands continue there; a repeated id counts once.
    passOn(open);
  }

  /** Takes up the undelivered notifications of an ended run whose hub is gone. */
  takeUpNotifications(): Promise<void> {
    return this.core.post(() => this.#takeUpNotifications());
  }

  async #takeUpNotifications(): Promise<void> {
    if (!this.core.summary || !hasEnded(this.core.summary.state) || (await this.#notifications()).length === 0) return;
    if (!(await this.core.context.cluster.claimIfFree(this.core.runId))) return;
    // Reads again: the previous hub may have delivered some until now.
    for (const record of await this.#notifications()) this.core.commands.takeUp(record);
  }

  async #notifications(): Promise<NotificationRecord[]> {
    const records = await this.core.context.store.commands(this.core.runId);
    return records.filter(isNotification).filter(({ state }) => state === 'pending');
  }

  /** Mirrors the run from the hub that holds it. */
  mirror(told: ToldRun): Promise<void> {
    return this.core.post(() => {
      if (this.core.record.isHeld || this.core.record.isDeleted(told.run)) return;
      const wasEndedByForce = this.core.record.isEndedByForce;
      this.core.record.mirror(told);
      if (told.isEndedByForce && !wasEndedByForce) this.core.context.onEndedByForce(told.run);
    });
  }

  mirrorProgress({ lastSeq, lastStep }: Progress): Promise<void> {
    return this.core.post(async () => {
      // Nobody announced a run created while Redis was down.
      const run = this.core.summary ?? (await this.core.fromStore());
      if (run && !this.core.record.isHeld) this.core.record.put({ ...run, lastSeq, lastStep });
    });
  }

  /**
   * Corrects an ended run by its trainer's own words. A hub that could not reach the trainer may have given the run up while
   * another hub had its last word. This replaces the guess.
   * @param events all its `restoringTypes`, ascending by seq
   */
  correctBy(events: readonly ControlEvent[]): Promise<void> {
    return this.core.post(() => this.correct(events)).then(() => this.ending.settled());
  }

  async correct(events: readonly ControlEvent[]): Promise<void> {
    const { store, cluster } = this.core.context;
    const run = this.core.summary;
    if (!run || !hasEnded(run.state)) return;
    const before = { ...run, state: 'created' as const, reason: '', endedMs: null };
    const said = events.reduce<RunSummary>(afterEvent, before);
    const isSame = said.state === run.state && said.reason === run.reason && said.endedMs === run.endedMs;
    if (isSame || !hasEnded(said.state)) return;
    said.lastSeq = Math.max(run.lastSeq, await store.lastSeq(this.core.runId));
    said.lastStep = Math.max(said.lastStep, events.at(-1)!.step);
    // Another hub that delivers its notifications continues with that.
    const isFree = await cluster.claimIfFree(this.core.runId);
    await this.core.commands.load(events, isFree);
    this.core.record.change(said);
    if (isFree) this.core.rules.take();
    this.ending.end(true);
  }

  noteForce(records: readonly CommandRecord[]): CommandRecord | undefined {
    const end = records.find(({ action, state }) => action.kind === 'end_run' && state === 'applied');
    this.core.record.isEndedByForce ||= end !== undefined;
    return end;
  }
}
