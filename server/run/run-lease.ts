import type { CommandRecord } from '@plumbline/shared/command';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { Position, StoredSummary } from '../store/event-store.js';
import type { Progress, ToldRun } from './cluster.js';
import type { RunCore } from './run-core.js';
import type { RunEnding } from './run-ending.js';
import { afterEvent } from './run-state.js';
import { isNotification, type NotificationRecord } from './webhook.js';

/** How a run comes to this hub and goes to others: one hub holds its lease. */
export class RunLease {
  constructor(
    readonly core: RunCore,
    readonly ending: RunEnding,
  ) {}

  /** Takes up a run that was stored when the hub started. */
  load(stored: StoredSummary): Promise<void> {
    return this.core
      .post(async () => {
        // Another hub may have deleted it since the store was asked.
        if (this.core.record.isDeleted(stored) || this.core.summary) return;
        if (!hasEnded(stored.state) && (await this.core.context.cluster.claimIfFree(this.core.runId))) {
          this.core.record.isHeld = true;
          // The hub may have died between storing events and writing what follows from them.
          const { events } = await this.core.context.store.controlEvents(this.core.runId);
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

  /** A hub before may have died before it had written that the run has ended. */
  async #endIfOver(end: CommandRecord | undefined): Promise<void> {
    if (hasEnded(this.core.summary!.state)) this.ending.end(true);
    else if (end) await this.ending.endByForce(end.author);
  }

  /**
   * Begins to hold a run that another hub held, or none: with its commands, from where it stands in the store.
   * @returns the run; one that has ended there is ended here too and held no more
   */
  async takeUp(acknowledgedSeq: number): Promise<RunSummary> {
    const { store, shared } = this.core.context;
    const stored = await store.run(this.core.runId);
    const lastSeq = shared
      ? await shared.takeUp(this.core.runId, acknowledgedSeq)
      : await store.lastSeq(this.core.runId);
    this.core.series.forget();
    const { events } = await store.controlEvents(this.core.runId);
    const end = this.noteForce(await this.core.commands.load(events));
    const known = this.core.summary!;
    const before = { ...known, ...(stored && this.core.record.summaryOf(stored)) };
    const run = events.reduce<RunSummary>(afterEvent, { ...before, state: 'created', reason: '', endedMs: null });
    this.core.record.isHeld = true;
    const taken = this.core.record.change({
      ...run,
      lastSeq,
      lastStep: await this.#lastStep({ lastSeq, lastStep: Math.max(known.lastStep, stored?.lastStep ?? 0) }, events),
    });
    this.core.rules.take();
    await this.#endIfOver(end);
    return this.core.summary ?? taken;
  }

  /** The step that a run stands at: of one with segments a store may answer the largest that it has had. */
  async #lastStep({ lastSeq, lastStep }: Position, events: readonly ControlEvent[]): Promise<number> {
    if (!events.some(({ type }) => type === 'segment_started')) return lastStep;
    return (await this.core.context.store.events(this.core.runId, lastSeq, 1)).at(-1)?.step ?? lastStep;
  }

  /**
   * Holds a run that has ended, for a trainer that goes on with it as another segment. It stays ended until the segment
   * begins.
   */
  async holdEnded(acknowledgedSeq: number, events: readonly ControlEvent[]): Promise<RunSummary> {
    const { store, shared } = this.core.context;
    const { runId, record } = this.core;
    const lastSeq = shared ? await shared.takeUp(runId, acknowledgedSeq) : await store.lastSeq(runId);
    await this.core.commands.load(events);
    record.isHeld = true;
    const lastStep = await this.#lastStep({ lastSeq, lastStep: this.core.summary!.lastStep }, events);
    return record.put({ ...this.core.summary!, lastSeq, lastStep });
  }

  /** Its trainer has gone before the segment began. */
  letGoEnded(): void {
    const { record, summary, context, runId } = this.core;
    if (!summary || !hasEnded(summary.state) || !record.isHeld || this.ending.isUnderWay) return;
    record.isHeld = false;
    context.shared?.letGo(runId);
  }

  /**
   * A run whose hub is gone: the first hub to say so holds it, and waits for its trainer. Of one that has ended, it takes
   * up what is still to be told.
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
    // Of a run that has ended, only notifications were this hub's.
    if (!this.core.record.isHeld) return;
    this.core.record.isHeld = this.core.record.isDirty = false;
    this.core.series.forget();
    this.core.rules.forget();
    this.core.liveness.cut();
    shared?.letGo(this.core.runId);
    // What was given here goes on there; the same id counts once.
    passOn(open);
  }

  /** Takes up what is still to be told of the run, which has ended, where the hub that would have told it is gone. */
  takeUpNotifications(): Promise<void> {
    return this.core.post(() => this.#takeUpNotifications());
  }

  async #takeUpNotifications(): Promise<void> {
    if (!this.core.summary || !hasEnded(this.core.summary.state) || (await this.#notifications()).length === 0) return;
    if (!(await this.core.context.cluster.claimIfFree(this.core.runId))) return;
    // Read anew: the hub before may have delivered some until now.
    for (const record of await this.#notifications()) this.core.commands.takeUp(record);
  }

  async #notifications(): Promise<NotificationRecord[]> {
    const records = await this.core.context.store.commands(this.core.runId);
    return records.filter(isNotification).filter(({ state }) => state === 'pending');
  }

  /** What the hub that holds the run says of it. */
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
      // One that was made while Redis was gone was told of by nobody.
      const run = this.core.summary ?? (await this.core.fromStore());
      if (run && !this.core.record.isHeld) this.core.record.put({ ...run, lastSeq, lastStep });
    });
  }

  /**
   * A run that has ended, as its trainer's own words have it: a hub that could not reach the trainer may have given it
   * up while its last word lay with another hub. Such a guess is replaced.
   * @param events all that are stored of it
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
    // Another hub that is telling of it goes on with that.
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
