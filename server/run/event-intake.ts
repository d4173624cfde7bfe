import { maxEventsPerBatch, maxProblems } from '@plumbline/shared/limits';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import {
  isControlEvent,
  isLastWord,
  orderFault,
  type ControlEvent,
  type TrainerEvent,
} from '@plumbline/shared/trainer-event';
import type { EventProblem, WireEvent } from '@plumbline/shared/wire-event';
import { newEvents, StoreUnavailableError, type Position } from '../store/event-store.js';
import { upToDateEvent } from '../store/protocol-1.js';
import { commandEndTypes } from './command-log.js';
import type { TrainerLink } from './liveness.js';
import { Refusal } from './refusal.js';
import { endedByForce, type RunCore } from './run-core.js';
import type { RunEnding } from './run-ending.js';
import { afterEvent, nextState } from './run-state.js';

/** The last event of a run after a batch, and the omissions from it. */
export interface Appended {
  lastSeq: number;
  /** The first few; absent if there are none. */
  problems?: EventProblem[];
}
/** A parsed batch, with its omissions so far. */
export interface GivenBatch {
  /** The connection that it came from. */
  link: TrainerLink;
  events: readonly WireEvent[];
  problems: readonly EventProblem[];
}

/** Accepts a run's events: checks their order, names their series, makes them durable and applies them. */
export class EventIntake {
  /** A failed append may have been stored. */
  #isPositionUncertain = false;
  /** Stored events whose commands could not be recorded as ended. The trainer may not send them again. */
  #unclosed: ControlEvent[] = [];

  constructor(
    readonly core: RunCore,
    readonly ending: RunEnding,
  ) {}

  /** Checks waiting batches one by one, each against the state after the previous ones, and stores them together. */
  readonly take = async (batches: readonly GivenBatch[]): Promise<(Appended | Error)[]> => {
    await this.core.confirmPresence();
    await this.catchUp();
    const run = this.core.summary;
    if (!run) return batches.map(() => this.core.notFound());
    // An ended run may continue with a segment.
    if (this.core.record.isHeld || this.core.goesOnBy !== null) await this.core.series.load(run.lastSeq);
    let position: Position = run;
    let { state } = run;
    let mayGoOn = this.#mayGoOn;
    const fresh: TrainerEvent[] = [];
    const answers = batches.map(({ link, events, problems: given }): Appended | Error => {
      const checked = this.#check({ ...run, ...position, state }, link, events, mayGoOn);
      if (checked instanceof Error) return checked;
      const named = this.#named(checked.appended);
      if (named instanceof Error) return named;
      position = { lastSeq: checked.lastSeq, lastStep: checked.lastStep };
      for (const event of named.events) {
        fresh.push(event);
        // The attach was for one segment.
        if (event.type === 'segment_started') mayGoOn = false;
        if (isLastWord(event) || event.type === 'segment_started')
          state = nextState(state, event.type as ControlEvent['type']);
      }
      // Problems of events that were stored before were reported then.
      const problems = [...(checked.appended.length > 0 ? given : []), ...named.problems];
      const { lastSeq } = position;
      return problems.length > 0 ? { lastSeq, problems } : { lastSeq };
    });
    const taken = batches.filter((_, i) => !(answers[i] instanceof Error)).flatMap(({ events }) => events);
    try {
      if (fresh.length > 0) await this.#store(fresh);
      this.#notePartial(answers);
      await this.#follow(taken.filter(isControlEvent));
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      return answers.map((answer) => (answer instanceof Error ? answer : failure));
    }
    return answers.map((answer) =>
      answer instanceof Error || !answer.problems
        ? answer
        : { ...answer, problems: answer.problems.slice(0, maxProblems) },
    );
  };

  /** Converts the events of a batch into their stored form. */
  #named(events: readonly WireEvent[]): { events: TrainerEvent[]; problems: EventProblem[] } | Error {
    const named: TrainerEvent[] = [];
    const problems: EventProblem[] = [];
    try {
      for (const given of events) {
        const resolved = this.core.series.resolve(given);
        named.push(resolved.event);
        problems.push(...resolved.problems);
      }
      return { events: named, problems };
    } catch (error) {
      // The declarations before the fault are not stored.
      this.core.series.forget();
      return error as Error;
    }
  }

  #notePartial(answers: readonly (Appended | Error)[]): void {
    const problems = answers.flatMap((answer) => (answer instanceof Error ? [] : (answer.problems ?? [])));
    const newest = problems.at(-1);
    if (newest) this.core.record.noteRefused(problems.length, problemWords(newest));
  }

  /** The new events of a batch, or the reason to refuse it. */
  #check(
    run: RunSummary,
    link: TrainerLink,
    events: readonly WireEvent[],
    mayGoOn: boolean,
  ): ReturnType<typeof newEvents<WireEvent>> | Error {
    const { runId, lastSeq, state } = run;
    const first = events.find(({ seq }) => seq > lastSeq);
    if (hasEnded(state) && !(mayGoOn && first?.type === 'segment_started')) {
      if (first)
        return new Refusal(
          'conflict',
          this.core.record.isEndedByForce
            ? endedByForce(run)
            : `The run ${runId} has ended (${state}); it takes no more events.`,
        );
    }
    const refusal = this.core.refusalOf(link);
    if (refusal) return refusal;
    if (!hasEnded(state) && !this.core.record.isHeld)
      return new Refusal('conflict', `Another hub holds the run ${runId} now: attach it again.`, { retry: true });
    const fault = orderFault(run, events);
    if (fault !== null) return new Refusal('invalid', fault);
    try {
      return newEvents(runId, run, events);
    } catch (error) {
      return error as Error;
    }
  }

  /** The trainer has attached the ended run to go on with it as another segment. */
  get #mayGoOn(): boolean {
    const { goesOnBy, liveness } = this.core;
    return goesOnBy !== null && goesOnBy === liveness.link;
  }

  async #store(events: readonly TrainerEvent[]): Promise<void> {
    const { appended, lastSeq } = await this.core.context.store
      .append(this.core.runId, events)
      .catch((error: unknown) => {
        this.#isPositionUncertain = true;
        this.core.series.forget();
        throw error;
      });
    this.#apply(appended);
    this.#isPositionUncertain = lastSeq > this.core.summary!.lastSeq;
  }

  /** Applies durable events to the run. */
  #apply(events: TrainerEvent[]): void {
    if (events.length === 0) return;
    const before = this.core.summary!;
    const { busy: _, ...heard } = before;
    this.core.liveness.notBusy();
    let run: RunSummary = heard;
    for (const event of events) {
      const lastStep = event.type === 'segment_started' ? event.step : Math.max(run.lastStep, event.step);
      run = { ...run, lastSeq: event.seq, lastStep };
      if (event.type === 'segment_started') this.core.goesOnBy = null;
      if (isControlEvent(event)) run = afterEvent(run, event);
    }
    this.core.record.put(run);
    this.core.context.onEvents(this.core.runId, events);
    this.core.rules.take(events);
    if (!events.some(isControlEvent)) return;
    this.core.record.isDirty = true;
    this.core.record.tell(before);
  }

  /** Records the consequences of control events, including events that were stored without them. */
  async #follow(control: readonly ControlEvent[]): Promise<void> {
    if (!this.core.record.isDirty && this.#unclosed.length === 0) return;
    const isOver = hasEnded(this.core.summary!.state);
    const lastUnclosed = this.#unclosed.at(-1)?.seq ?? 0;
    const unclosed = [...this.#unclosed, ...control.filter(({ seq }) => seq > lastUnclosed)];
    try {
      // Commands first: a run recorded as ended has no open commands.
      await this.core.commands.closeFrom(unclosed);
      this.#unclosed = [];
    } catch (error) {
      this.#unclosed = unclosed.filter(({ type }) => endsCommand.has(type));
      // Its trainer may not come back to repeat them.
      if (isOver) this.ending.endFromStored(control.some(isLastWord));
      throw error;
    }
    if (isOver) this.ending.end(control.some(isLastWord));
    else await this.core.record.write();
  }

  /**
   * Does what failed before: applies the events of failed appends that were stored all the same, and ends commands whose
   * outcome is stored. In the mailbox.
   */
  async catchUp(): Promise<void> {
    if (!this.core.summary) return;
    // Another hub that holds the run reads the outcomes itself.
    if (!this.core.record.isHeld) this.#unclosed = [];
    if (this.#unclosed.length > 0) await this.#follow([]);
    if (!this.#isPositionUncertain) return;
    const { store } = this.core.context;
    const stored = await store.lastSeq(this.core.runId);
    while (this.core.summary.lastSeq < stored) {
      const page = await store.events(this.core.runId, this.core.summary.lastSeq + 1, maxEventsPerBatch);
      const events = page.map(upToDateEvent);
      if (events.length === 0)
        throw new StoreUnavailableError(
          `The store cannot be read up to event ${stored} of ${this.core.runId} yet. Try again.`,
        );
      this.#apply(events);
      await this.#follow(events.filter(isControlEvent));
    }
    this.#isPositionUncertain = false;
  }
}

const endsCommand: ReadonlySet<ControlEvent['type']> = new Set(commandEndTypes);

/** `event 12, eval_loss: a value is a number …` */
const problemWords = ({ seq, series, problem }: EventProblem): string =>
  `event ${seq}${series === null ? '' : `, ${series}`}: ${problem}`;
