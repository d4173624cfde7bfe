import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import { hasEnded, type RunConfig, type RunId, type RunParent, type RunSummary } from '@plumbline/shared/run';
import type { Attach } from '@plumbline/shared/socket';
import { isLastWord, isMetricEvent, maxEventsPerBatch, orderFault, type ControlEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import {
  newEvents,
  StoreConflictError,
  StoreUnavailableError,
  type EventStore,
  type Position,
  type SharedStore,
  type StoredSummary,
} from '../store/event-store.js';
import type { Admission } from './admission.js';
import { singleHub, type Cluster, type Progress, type ToldRun } from './cluster.js';
import { CommandIntake } from './command-intake.js';
import { CommandLog } from './command-log.js';
import { endedBefore } from './command-states.js';
import type { Drain } from './drain.js';
import { Liveness, type TrainerLink } from './liveness.js';
import { Mailbox } from './mailbox.js';
import { Refusal } from './refusal.js';
import type { RuleReplay } from './rules/rule-replay.js';
import { RunRules } from './rules/run-rules.js';
import { RunRecord } from './run-record.js';
import { afterEvent, nextState, wasLost } from './run-state.js';
import { isNotification, type NotificationRecord } from './webhook.js';
import type { RuleState } from '@plumbline/shared/rule';

/** How long whoever ends a run waits for all that goes with it. */
const endWaitMs = 2_000;

type NotificationOutcome = Parameters<CommandLog['endOwn']> extends [unknown, ...infer Rest] ? Rest : never;

/** What all runs of a hub have in common. */
export interface RunContext {
  store: EventStore;
  /** The store, where it is one that several hubs share. */
  shared: SharedStore | null;
  cluster: Cluster;
  admission: Admission;
  replay: RuleReplay;
  drain: Drain;
  trainerGraceMs: number;
  commandExpiryMs: number;
  /** Pause after the store could not be read or written. */
  tryAgainMs: number;
  /** Runs whose trainer's process is known to live: their end is told by its exit, not by a lost connection. */
  livingProcesses: ReadonlySet<RunId>;
  onChange: (told: ToldRun, before: RunSummary | undefined) => void;
  onEvents: (runId: RunId, events: TrainerEvent[]) => void;
  onCommand: (record: CommandRecord) => void;
  /** A notification is to be delivered. */
  onNotification: (record: NotificationRecord) => void;
  onRules: (runId: RunId, states: RuleState[]) => void;
  onAttached: (run: RunSummary) => void;
  /** A person ended the run without its trainer. */
  onEndedByForce: (run: RunSummary) => void;
  /** The run was found to be no more. */
  onDeleted: (run: RunSummary) => void;
  /** Gives open commands of a run that another hub has taken to whichever hub has it. */
  passOn: (records: readonly CommandRecord[]) => void;
  /** Ends all waiting. */
  closing: AbortSignal;
  onError: (error: unknown) => void;
}

/**
 * The one owner of a run: all that happens to it comes as a message to its mailbox and is handled there, one after
 * another. So what is known of the run does not change while one message is handled, however long the store takes; other
 * runs do not wait for it. What takes long and changes nothing is done before a message is posted; what waits for time to
 * pass is an event that posts one. A message never waits for a message to another run.
 */
export class Run {
  readonly record: RunRecord;
  readonly commands: CommandLog;
  readonly rules: RunRules;
  readonly liveness: Liveness;
  readonly #intake: CommandIntake;
  readonly #mailbox = new Mailbox();
  /** How many read all of the run or open branches of it: it is not deleted meanwhile. */
  #holds = 0;
  #isBeingDeleted = false;
  /** When the run was created that was deleted under this id: late news of it is none. */
  #deletedCreatedMs: number | null = null;
  /** An append may have been stored although it failed. */
  #isPositionUncertain = false;
  /** The run may have been deleted although that failed. */
  #isPresenceUncertain = false;
  #ending: Promise<void> | null = null;
  /** The trainer has said itself that the run has ended. */
  #hasLastWord = false;

  constructor(
    readonly runId: RunId,
    readonly context: RunContext,
  ) {
    const { store, shared, onChange, onError } = context;
    this.record = new RunRecord(runId, { store, shared, onChange });
    this.commands = new CommandLog(runId, {
      ...{ store, expiryMs: context.commandExpiryMs },
      onRecord: context.onCommand,
      onNotification: context.onNotification,
      onExpired: (commandId) => void this.post(() => this.commands.expire(commandId)).catch(onError),
    });
    this.liveness = new Liveness(context.trainerGraceMs, () => this.#absent());
    this.#intake = new CommandIntake(this);
    this.rules = new RunRules({
      ...{ store, shared, replay: context.replay, log: this.commands, tryAgainMs: context.tryAgainMs, onError },
      run: () => this.record.summary!,
      post: (handle) => this.post(handle),
      give: ({ command, author }, isDue) => this.#intake.give(command, author, isDue).then(() => undefined),
      onStates: (states) => context.onRules(runId, states),
    });
  }

  /** Null where there is no such run, as far as this hub knows. */
  get summary(): RunSummary | null {
    return this.record.summary;
  }

  get give(): CommandIntake['give'] {
    return this.#intake.give.bind(this.#intake);
  }

  /** Nothing is known of the run, and nothing is being done with it. */
  get isVoid(): boolean {
    return this.summary === null && this.#deletedCreatedMs === null && this.#holds === 0 && this.#mailbox.isIdle;
  }

  /** Something is still to be written of the run, or it is being read or branched. */
  get isBusy(): boolean {
    const { livingProcesses } = this.context;
    return this.#holds > 0 || this.#ending !== null || this.record.isDirty || livingProcesses.has(this.runId);
  }

  /** Does something in its turn. A message of its own must not wait for it. */
  post<T>(handle: () => T | Promise<T>): Promise<T> {
    return this.#mailbox.post(handle);
  }

  /** Whether this is late news of a run that was deleted, not of a later one under its id. */
  isDeleted({ createdMs }: { createdMs: number }): boolean {
    return this.#deletedCreatedMs === createdMs;
  }

  /**
   * @throws Refusal `draining` while the run is being deleted: whether it will be is not certain, so it is to be tried
   *   again
   */
  refuseWhileDeleted(): void {
    if (this.#isBeingDeleted)
      throw new Refusal('draining', `The run ${this.runId} is being deleted. Try again in a moment.`);
  }

  /**
   * Holds off the run's deletion.
   * @returns ends that
   * @throws Refusal `not_found`, or `draining` while it is being deleted
   */
  async hold(): Promise<() => void> {
    this.refuseWhileDeleted();
    await this.post(() => {
      if (!this.summary) throw this.notFound();
      this.#holds++;
    });
    return () => this.#holds--;
  }

  notFound(): Refusal {
    return new Refusal('not_found', `There is no run ${this.runId}.`);
  }

  /** Makes the run. @throws StoreConflictError when there is one under its id */
  create(config: RunConfig, parent: RunParent | null, secret: string | undefined): Promise<RunSummary> {
    return this.post(() => this.#create(config, parent, secret));
  }

  async #create(config: RunConfig, parent: RunParent | null, secret: string | undefined): Promise<RunSummary> {
    const { store, cluster } = this.context;
    const run: RunSummary = {
      ...{ runId: this.runId, config, parent, state: 'created', reason: '', trainer: null, createdMs: Date.now() },
      ...{ startedMs: null, endedMs: null, trainerConnected: false, lastSeq: 0, lastStep: 0 },
    };
    const { trainerConnected: _c, lastSeq: _s, lastStep: _t, ...stored } = run;
    const trainerSecretDigest = secret === undefined ? undefined : digestOf(secret);
    await store.createRun({ ...stored, ...(trainerSecretDigest !== undefined && { trainerSecretDigest }) });
    await cluster.claim(this.runId);
    this.record.isHeld = true;
    this.record.trainerSecretDigest = trainerSecretDigest;
    this.#deletedCreatedMs = null;
    return this.record.change(run);
  }

  /** Looks in the store for a run that another hub has made and not told of. */
  lookUp(): Promise<RunSummary | null> {
    return this.post(() => this.summary ?? (this.context.cluster === singleHub ? null : this.#fromStore()));
  }

  async #fromStore(): Promise<RunSummary | null> {
    const stored = await this.context.store.run(this.runId);
    return stored && !this.isDeleted(stored) ? this.record.restore(stored) : null;
  }

  /** A trainer takes up the run; see RunRegistry.attach. */
  async attach(attach: Attach, link: TrainerLink): Promise<number> {
    this.refuseWhileDeleted();
    const lastSeq = await this.post(() => this.#attach(attach, link).finally(() => this.expectTrainer()));
    await this.#endingSettled();
    return lastSeq;
  }

  async #attach(attach: Attach, link: TrainerLink): Promise<number> {
    const { store, cluster, onAttached } = this.context;
    const { record, runId } = this;
    const { acknowledgedSeq } = attach;
    let run = await this.#known(attach);
    if (hasEnded(run.state)) {
      const { events } = await store.controlEvents(runId);
      // What is known of a run that ended at another hub may be behind what its trainer was told there.
      if (!wasLost(run.state, events)) {
        await this.#correct(events);
        return Math.max(acknowledgedSeq, this.summary!.lastSeq);
      }
      await this.#refuseEndedByForce(run);
    }
    await cluster.claim(runId);
    // A hub that is alone has all that was acknowledged, or has lost it, which its trainer has to hear. Of several, a run
    // that is held here may have been at another meanwhile, without Redis to say so.
    const acknowledged = cluster === singleHub ? 0 : acknowledgedSeq;
    const isBack = hasEnded(run.state);
    if (isBack || !record.isHeld || acknowledged > run.lastSeq) run = await this.#takeUp(acknowledged);
    // Its last word lay in the store, and whoever held the run died before writing what follows.
    if (hasEnded(run.state)) return Math.max(acknowledgedSeq, run.lastSeq);
    if (isBack || this.#ownedBy(attach.secret)) await record.write();
    this.liveness.connect(link);
    run = record.change({ ...this.summary!, trainerConnected: true });
    onAttached(run);
    for (const open of this.commands.open) this.#intake.send(open);
    return run.lastSeq;
  }

  /** The run that a trainer attaches, which is made where there is none. @throws Refusal when it is not that trainer's */
  async #known({ config, parent, acknowledgedSeq, secret }: Attach): Promise<RunSummary> {
    const { store, cluster, admission } = this.context;
    await this.confirmPresence();
    let run = this.summary;
    if (run && hasEnded(run.state) && cluster !== singleHub && (await this.#isDeletedElsewhere())) {
      this.#forget();
      run = null;
    }
    if (!run) {
      if (acknowledgedSeq > 0 && (await store.deletedRuns()).includes(this.runId))
        throw new Refusal(
          'conflict',
          `The run ${this.runId} was deleted, with the ${acknowledgedSeq} events that it had. Start a new run.`,
        );
      // A branch takes its run's rules along; should the hub's settings not allow them any more, their records say so.
      if (parent === null) admission.refuseRules(config);
      // Where the other hubs cannot be asked, the trainer is here, and that counts.
      if (!(await cluster.claimIfFree(this.runId).catch(() => true)))
        throw new Refusal('draining', `Another hub has the run ${this.runId} or is opening it. Try again in a second.`);
      try {
        return await this.#create(config, parent, secret);
      } catch (error) {
        // A trainer whose connection broke has opened it, at another hub or before this one died.
        run = error instanceof StoreConflictError ? await this.#fromStore() : null;
        if (!run) throw error;
      }
    }
    admission.refuseOtherRun(run, { config, parent });
    this.#refuseOtherTrainer(secret);
    return run;
  }

  #refuseOtherTrainer(secret: string | undefined): void {
    const { trainerSecretDigest } = this.record;
    if (trainerSecretDigest === undefined) return;
    if (secret !== undefined && digestOf(secret) === trainerSecretDigest) return;
    throw new Refusal(
      'forbidden',
      `The run ${this.runId} belongs to the trainer that opened it, which shows the secret that it opened it with. ` +
        'Start a new run, or a branch of this one.',
    );
  }

  /** The run belongs to the trainer with this secret from now on. @returns whether that is new */
  #ownedBy(secret: string | undefined): boolean {
    if (secret === undefined || this.record.trainerSecretDigest !== undefined) return false;
    this.record.trainerSecretDigest = digestOf(secret);
    return true;
  }

  async #refuseEndedByForce(run: RunSummary): Promise<void> {
    this.#noteForce(await this.context.store.commands(this.runId));
    if (this.record.isEndedByForce) throw new Refusal('conflict', endedByForce(run));
  }

  #noteForce(records: readonly CommandRecord[]): CommandRecord | undefined {
    const end = records.find(({ action, state }) => action.kind === 'end_run' && state === 'applied');
    this.record.isEndedByForce ||= end !== undefined;
    return end;
  }

  /** A trainer's connection is gone. */
  detach(link: TrainerLink): Promise<void> {
    return this.post(() => {
      if (!this.liveness.disconnect(link) || !this.summary) return;
      this.record.change({ ...this.summary, trainerConnected: false });
      this.expectTrainer();
    });
  }

  /** Makes events durable, then lets them take effect; see RunRegistry.append. */
  async append(events: readonly TrainerEvent[]): Promise<number> {
    this.refuseWhileDeleted();
    const lastSeq = await this.#mailbox.postTogether(this.#append, events);
    await this.#endingSettled();
    return lastSeq;
  }

  /** Batches that wait are checked one by one, each against what those before come to, and stored together. */
  readonly #append = async (batches: (readonly TrainerEvent[])[]): Promise<(number | Error)[]> => {
    await this.confirmPresence();
    await this.#catchUpWithStore();
    const run = this.summary;
    if (!run) return batches.map(() => this.notFound());
    let position: Position = run;
    let { state } = run;
    const fresh: TrainerEvent[] = [];
    const answers = batches.map((events) => {
      const refused = this.#refused({ ...run, ...position, state }, events);
      if (refused instanceof Error) return refused;
      position = { lastSeq: refused.lastSeq, lastStep: refused.lastStep };
      for (const event of refused.appended) {
        fresh.push(event);
        if (isLastWord(event)) state = nextState(state, event.type as ControlEvent['type']);
      }
      return position.lastSeq;
    });
    const taken = batches.filter((_, i) => typeof answers[i] === 'number').flat();
    try {
      if (fresh.length > 0) await this.#store(fresh);
      await this.#follow(taken.filter(isControl));
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      return answers.map((answer) => (typeof answer === 'number' ? failure : answer));
    }
    return answers;
  };

  /** Which of the events follow on a run, or why the batch is refused. */
  #refused(run: RunSummary, events: readonly TrainerEvent[]): ReturnType<typeof newEvents> | Error {
    const { runId, lastSeq, state } = run;
    if (hasEnded(state)) {
      if (events.some((event) => event.seq > lastSeq))
        return new Refusal(
          'conflict',
          this.record.isEndedByForce
            ? endedByForce(run)
            : `The run ${runId} has ended (${state}); it takes no more events.`,
        );
    } else if (!this.record.isHeld)
      return new Refusal('conflict', `Another hub holds the run ${runId} now: attach it again.`, true);
    const fault = orderFault(run, events);
    if (fault !== null) return new Refusal('invalid', fault);
    try {
      return newEvents(runId, run, events);
    } catch (error) {
      return error as Error;
    }
  }

  async #store(events: readonly TrainerEvent[]): Promise<void> {
    const { appended, lastSeq } = await this.context.store.append(this.runId, events).catch((error: unknown) => {
      this.#isPositionUncertain = true;
      throw error;
    });
    this.#apply(appended);
    this.#isPositionUncertain = lastSeq > this.summary!.lastSeq;
  }

  /** Events of the run have become durable. */
  #apply(events: TrainerEvent[]): void {
    if (events.length === 0) return;
    const before = this.summary!;
    let run = before;
    for (const event of events) {
      run = { ...run, lastSeq: event.seq, lastStep: Math.max(run.lastStep, event.step) };
      if (isControl(event)) run = afterEvent(run, event);
    }
    this.record.put(run);
    this.context.onEvents(this.runId, events);
    this.rules.take(events);
    if (!events.some(isControl)) return;
    this.record.isDirty = true;
    this.record.tell(before);
  }

  /** Writes down what follows from control events, those included that were stored before without it. */
  async #follow(control: readonly ControlEvent[]): Promise<void> {
    if (!this.record.isDirty) return;
    // Commands first: a run that is written as ended has no open ones.
    await this.commands.closeFrom(control);
    if (hasEnded(this.summary!.state)) this.#end(true);
    else await this.record.write();
  }

  /** After an append that failed: what was stored all the same takes effect. */
  async #catchUpWithStore(): Promise<void> {
    if (!this.#isPositionUncertain || !this.summary) return;
    const { store } = this.context;
    const stored = await store.lastSeq(this.runId);
    while (this.summary.lastSeq < stored) {
      const events = await store.events(this.runId, this.summary.lastSeq + 1, maxEventsPerBatch);
      if (events.length === 0)
        throw new StoreUnavailableError(`The store cannot be read up to event ${stored} of ${this.runId} yet. Try again.`);
      this.#apply(events);
      await this.#follow(events.filter(isControl));
    }
    this.#isPositionUncertain = false;
  }

  /** The trainer will not come back: its run has failed. */
  async lost(reason: string): Promise<void> {
    const { cluster } = this.context;
    const isElsewhere = this.summary && !hasEnded(this.summary.state) && !this.record.isHeld;
    const hub = isElsewhere ? await cluster.holder(this.runId) : null;
    if (hub) return cluster.forwardLost(hub, this.runId, reason);
    await this.post(() => this.#lost(reason));
    await this.#endingSettled();
  }

  async #lost(reason: string): Promise<void> {
    if (!this.summary || hasEnded(this.summary.state)) return;
    // It may have said its last word where it was before.
    if (!this.record.isHeld && hasEnded((await this.#takeUp(0)).state)) return;
    await this.#fail(reason);
  }

  /** The run has failed, as the hub sees it. */
  async #fail(reason: string): Promise<void> {
    const { store, onError } = this.context;
    const run = this.summary!;
    this.liveness.release();
    const state = nextState(run.state, 'trainer_lost');
    this.record.change({ ...run, state, reason, endedMs: Date.now(), trainerConnected: false });
    // What the trainer said of its commands is what counts, should the hub not have written that down yet.
    await store
      .controlEvents(this.runId)
      .then(({ events }) => this.commands.load(events))
      .catch(onError);
    this.#end(false);
  }

  /** A person ends the run without its trainer; its command is in the log. In the mailbox. */
  async endByForce(by: string): Promise<void> {
    this.record.isEndedByForce = true;
    this.liveness.cut();
    await this.#fail(`Ended without its trainer, by ${by}: it had been told to stop and did not.`);
    this.context.onEndedByForce(this.summary!);
  }

  /** A trainer that is not here is to come within the grace period. */
  expectTrainer(): void {
    const { summary, liveness, record } = this;
    if (!summary || hasEnded(summary.state)) return;
    if (record.isHeld && liveness.link === null) liveness.startGrace();
  }

  /** The trainer has stayed away for as long as it may. */
  #absent(): void {
    const { cluster, livingProcesses, trainerGraceMs, onError } = this.context;
    // A living process that is busy will connect again; its exit would tell of its death.
    if (livingProcesses.has(this.runId)) return;
    const { turns } = this.liveness;
    cluster
      .holder(this.runId)
      .then((hub) =>
        this.post(async () => {
          if (this.liveness.turns !== turns || !this.record.isHeld) return;
          if (hub) this.#letGo();
          else await this.#lost(`The trainer was lost: it did not connect again within ${trainerGraceMs / 1000} s.`);
        }),
      )
      .catch((error: unknown) => {
        onError(error);
        // Whether its trainer is at another hub cannot be asked now.
        this.expectTrainer();
      });
  }

  /**
   * A run has ended: what its rules lead to is given, its open commands fail, its record is written, in this order, and
   * it is held no more. So a run that is stored as ended has given all its commands; should this hub die before, whoever
   * takes the run up does it. It is tried until it succeeds.
   * @param hasLastWord its trainer has said so; otherwise it is this hub's guess
   */
  #end(hasLastWord: boolean): void {
    this.record.isHeld = this.record.isDirty = true;
    this.#hasLastWord ||= hasLastWord;
    this.#ending ??= this.#endUntilDone().finally(() => (this.#ending = null));
  }

  async #endUntilDone(): Promise<void> {
    const { closing, tryAgainMs, onError } = this.context;
    while (!closing.aborted)
      try {
        await this.rules.settled();
        if (await this.post(() => this.#writeEnd())) return;
      } catch (error) {
        if (closing.aborted) return;
        onError(error);
        await sleep(tryAgainMs, undefined, { signal: closing, ref: false }).catch(() => undefined);
      }
  }

  /** @returns false when the rules have seen more since they were settled */
  async #writeEnd(): Promise<boolean> {
    const run = this.summary;
    // Its trainer is back, or another hub has the run or has deleted it.
    if (!run || !hasEnded(run.state) || !this.record.isHeld) return true;
    if (!this.rules.isSettled) return false;
    await this.commands.failOpen(this.#hasLastWord ? endedBefore(run.state) : run.reason);
    await this.record.write(this.#hasLastWord);
    this.#hasLastWord = false;
    this.rules.forget();
    return true;
  }

  /** Waits a moment for what goes with the end of the run: that events are durable does not depend on it. */
  async #endingSettled(): Promise<void> {
    if (this.#ending) await Promise.race([this.#ending, sleep(endWaitMs, undefined, { ref: false })]);
  }

  /** Takes up a run that was stored when the hub started. @returns whether this hub holds it */
  load(stored: StoredSummary): Promise<void> {
    return this.post(async () => {
      // Another hub may have deleted it since the store was asked.
      if (this.isDeleted(stored) || this.summary) return;
      if (!hasEnded(stored.state) && (await this.context.cluster.claimIfFree(this.runId))) {
        this.record.isHeld = true;
        // The hub may have died between storing events and writing what follows from them.
        const { events } = await this.context.store.controlEvents(this.runId);
        const end = this.#noteForce(await this.commands.load(events));
        const run = this.record.restore(stored);
        this.record.put(events.reduce(afterEvent, { ...run, state: 'created' }));
        this.rules.take();
        await this.#endIfOver(end);
        return;
      }
      this.record.restore(stored);
    }).then(() => this.#endingSettled());
  }

  /** A hub before may have died before it had written that the run has ended. */
  async #endIfOver(end: CommandRecord | undefined): Promise<void> {
    if (hasEnded(this.summary!.state)) this.#end(true);
    else if (end) await this.endByForce(end.author);
  }

  /**
   * Begins to hold a run that another hub held, or none: with its commands, from where it stands in the store.
   * @returns the run; one that has ended there is ended here too and held no more
   */
  async #takeUp(acknowledgedSeq: number): Promise<RunSummary> {
    const { store, shared } = this.context;
    const stored = await store.run(this.runId);
    const lastSeq = shared ? await shared.takeUp(this.runId, acknowledgedSeq) : await store.lastSeq(this.runId);
    const { events } = await store.controlEvents(this.runId);
    const end = this.#noteForce(await this.commands.load(events));
    const known = this.summary!;
    const before = { ...known, ...(stored && this.record.summaryOf(stored)) };
    const run = events.reduce<RunSummary>(afterEvent, { ...before, state: 'created', reason: '', endedMs: null });
    this.record.isHeld = true;
    const taken = this.record.change({ ...run, lastSeq, lastStep: Math.max(known.lastStep, stored?.lastStep ?? 0) });
    this.rules.take();
    await this.#endIfOver(end);
    return this.summary ?? taken;
  }

  /**
   * A run whose hub is gone: the first hub to say so holds it, and waits for its trainer. Of one that has ended, it takes
   * up what is still to be told.
   */
  adopt(): Promise<void> {
    return this.post(async () => {
      if (!this.summary || this.record.isHeld) return;
      if (hasEnded(this.summary.state)) return this.#takeUpNotifications();
      if (!(await this.context.cluster.claimIfFree(this.runId))) return;
      await this.#takeUp(0);
      this.expectTrainer();
    });
  }

  /** Another hub holds the run from now on. */
  letGo(): Promise<void> {
    return this.post(() => this.#letGo());
  }

  #letGo(): void {
    const { shared, passOn } = this.context;
    const open = this.commands.open;
    this.commands.forget();
    // Of a run that has ended, only notifications were this hub's.
    if (!this.record.isHeld) return;
    this.record.isHeld = this.record.isDirty = false;
    this.rules.forget();
    this.liveness.cut();
    shared?.letGo(this.runId);
    // What was given here goes on there; the same id counts once.
    passOn(open);
  }

  /** Takes up what is still to be told of the run, which has ended, where the hub that would have told it is gone. */
  takeUpNotifications(): Promise<void> {
    return this.post(() => this.#takeUpNotifications());
  }

  async #takeUpNotifications(): Promise<void> {
    if (!this.summary || !hasEnded(this.summary.state) || (await this.#notifications()).length === 0) return;
    if (!(await this.context.cluster.claimIfFree(this.runId))) return;
    // Read anew: the hub before may have delivered some until now.
    for (const record of await this.#notifications()) this.commands.takeUp(record);
  }

  async #notifications(): Promise<NotificationRecord[]> {
    const records = await this.context.store.commands(this.runId);
    return records.filter(isNotification).filter(({ state }) => state === 'pending');
  }

  /** What the hub that holds the run says of it. */
  mirror(told: ToldRun): Promise<void> {
    return this.post(() => {
      if (this.record.isHeld || this.isDeleted(told.run)) return;
      const wasEndedByForce = this.record.isEndedByForce;
      this.record.mirror(told);
      if (told.isEndedByForce && !wasEndedByForce) this.context.onEndedByForce(told.run);
    });
  }

  mirrorProgress({ lastSeq, lastStep }: Progress): Promise<void> {
    return this.post(async () => {
      // One that was made while Redis was gone was told of by nobody.
      const run = this.summary ?? (await this.#fromStore());
      if (run && !this.record.isHeld) this.record.put({ ...run, lastSeq, lastStep });
    });
  }

  /**
   * A run that has ended, as its trainer's own words have it: a hub that could not reach the trainer may have given it
   * up while its last word lay with another hub. Such a guess is replaced.
   * @param events all that are stored of it
   */
  correct(events: readonly ControlEvent[]): Promise<void> {
    return this.post(() => this.#correct(events)).then(() => this.#endingSettled());
  }

  async #correct(events: readonly ControlEvent[]): Promise<void> {
    const { store, cluster } = this.context;
    const run = this.summary;
    if (!run || !hasEnded(run.state)) return;
    const before = { ...run, state: 'created' as const, reason: '', endedMs: null };
    const said = events.reduce<RunSummary>(afterEvent, before);
    const isSame = said.state === run.state && said.reason === run.reason && said.endedMs === run.endedMs;
    if (isSame || !hasEnded(said.state)) return;
    said.lastSeq = Math.max(run.lastSeq, await store.lastSeq(this.runId));
    said.lastStep = Math.max(said.lastStep, events.at(-1)!.step);
    // Another hub that is telling of it goes on with that.
    const isFree = await cluster.claimIfFree(this.runId);
    await this.commands.load(events, isFree);
    this.record.change(said);
    if (isFree) this.rules.take();
    this.#end(true);
  }

  async #isDeletedElsewhere(): Promise<boolean> {
    return (await this.context.store.deletedRuns()).includes(this.runId);
  }

  /**
   * Deletes the run with `remove`, in its turn and only while nothing is being done with it.
   * @param check throws what is against it
   * @returns what `remove` does; null when the run is busy
   */
  deleteWith<T>(check: (run: RunSummary) => void | Promise<void>, remove: (run: RunSummary) => Promise<T>): Promise<T | null> {
    return this.post(async () => {
      await this.confirmPresence();
      const run = this.summary;
      if (!run) throw new Refusal('not_found', `There is no run ${this.runId} any more.`);
      await check(run);
      if (this.isBusy || !(await this.context.cluster.claimIfFree(this.runId)) || this.isBusy) return null;
      this.#isBeingDeleted = true;
      try {
        return await remove(run);
      } catch (error) {
        this.#isPresenceUncertain = this.summary !== null;
        throw error;
      } finally {
        this.#isBeingDeleted = false;
      }
    });
  }

  /** After a deletion that failed: where the run is gone all the same, it is no more. */
  async confirmPresence(): Promise<void> {
    if (!this.#isPresenceUncertain || !this.summary) return;
    const isThere = (await this.context.store.run(this.runId)) !== null;
    this.#isPresenceUncertain = false;
    if (isThere) return;
    const { summary } = this;
    this.forgetDeleted();
    this.context.onDeleted(summary);
  }

  /** The run was deleted at another hub. @returns false when there is a later one under its id already */
  heardDeleted({ createdMs }: { createdMs: number }): Promise<boolean> {
    return this.post(() => {
      if (this.summary && this.summary.createdMs !== createdMs) return false;
      this.#deletedCreatedMs = createdMs;
      this.#forget();
      return true;
    });
  }

  /** The run is no more. In the mailbox. */
  forgetDeleted(): void {
    this.#deletedCreatedMs = this.summary?.createdMs ?? null;
    this.#forget();
  }

  #forget(): void {
    this.rules.forget();
    this.liveness.release();
    // A notification that is still to be delivered is of a run that nobody can look at any more.
    this.commands.forget();
    this.record.clear();
  }

  /** The outcome of a notification, while it is this hub's to end. */
  notified(record: NotificationRecord, ...outcome: NotificationOutcome): Promise<void> {
    return this.post(() => this.commands.endOwn(record, ...outcome));
  }

  isOpen(commandId: CommandId): boolean {
    return this.commands.openOne(commandId) !== undefined;
  }

  /** Ends all timers. */
  close(): void {
    this.liveness.endGrace();
    this.commands.close();
    this.rules.forget();
  }
}

const isControl = (event: TrainerEvent): event is ControlEvent => !isMetricEvent(event);
const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');
const endedByForce = ({ runId, reason }: RunSummary): string =>
  `The run ${runId} was ended at the hub and takes no more events. ${reason}`;
