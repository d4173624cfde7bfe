import type { CommandId } from '@plumbline/shared/command';
import { hasEnded, type RunId, type RunParent, type RunSummary } from '@plumbline/shared/run';
import type { Attach, Busy } from '@plumbline/shared/socket';
import type { RunDescription } from '@plumbline/shared/run-description';
import { singleHub } from './cluster.js';
import { CommandIntake } from './command-intake.js';
import type { CommandLog } from './command-log.js';
import { EventIntake, type Appended, type GivenBatch } from './event-intake.js';
import type { TrainerLink } from './liveness.js';
import { Refusal } from './refusal.js';
import type { RunContext } from './run-context.js';
import { RunCore } from './run-core.js';
import { RunEnding } from './run-ending.js';
import { RunLease } from './run-lease.js';
import { TrainerIntake } from './trainer-intake.js';
import type { NotificationRecord } from './webhook.js';

/** The answer to an attach. */
export interface Attached {
  /** The highest stored event number. */
  lastSeq: number;
  /** The lowest number above all declared series. */
  nextSeries: number;
}

type NotificationOutcome = Parameters<CommandLog['endOwn']> extends [unknown, ...infer Rest] ? Rest : never;

/**
 * The only owner of a run. Everything that happens to the run is a message to its mailbox, which handles one at a time. So
 * the run does not change while a message is handled, however long the store takes; other runs do not wait. Slow reads run
 * before a message is posted, and timers post messages. A message never waits for a message to another run.
 */
export class Run {
  readonly core: RunCore;
  readonly lease: RunLease;
  readonly #ending: RunEnding;
  readonly #commands: CommandIntake;
  readonly #events: EventIntake;
  readonly #trainers: TrainerIntake;
  /** The number of readers of the whole run and of branches being opened: they hold off its deletion. */
  #holds = 0;
  /** Reads of the whole run: its deletion ends them. */
  readonly #wholeReads = new Set<AbortController>();

  constructor(
    readonly runId: RunId,
    readonly context: RunContext,
  ) {
    this.core = new RunCore(
      runId,
      context,
      () => this.#absent(),
      async ({ command, author }, isDue) => void (await this.#commands.give(command, author, isDue)),
    );
    this.#ending = new RunEnding(this.core);
    this.lease = new RunLease(this.core, this.#ending);
    this.#commands = new CommandIntake(this.core, this.#ending);
    this.#events = new EventIntake(this.core, this.#ending);
    this.#trainers = new TrainerIntake(this.core, this.lease, this.#ending, this.#commands);
  }

  /** Null if this hub knows no such run. */
  get summary(): RunSummary | null {
    return this.core.record.summary;
  }

  get give(): CommandIntake['give'] {
    return this.#commands.give.bind(this.#commands);
  }

  /** Whether the run is unknown and idle. */
  get isVoid(): boolean {
    return this.summary === null && this.#holds === 0 && this.core.mailbox.isIdle;
  }

  /** Whether writes of the run are pending, or it is being read or branched. */
  get isBusy(): boolean {
    const { livingProcesses } = this.context;
    return this.#holds > 0 || this.#ending.isUnderWay || this.core.record.isDirty || livingProcesses.has(this.runId);
  }

  /**
   * Holds off the run's deletion.
   * @returns releases the run
   * @throws Refusal `not_found`, or `draining` while it is being deleted
   */
  async hold(): Promise<() => void> {
    this.core.refuseWhileDeleted();
    await this.core.post(() => {
      if (!this.summary) throw this.core.notFound();
      this.#holds++;
    });
    return () => this.#holds--;
  }

  /**
   * Reads the whole run. Its deletion waits for that, and aborts the signal.
   * @param read must end its work when the signal is aborted
   * @param reader ends the read too
   * @throws Refusal `not_found`, or `draining` while it is being deleted
   */
  async whole<T>(read: (signal: AbortSignal) => Promise<T>, reader?: AbortSignal): Promise<T> {
    const release = await this.hold();
    const ended = new AbortController();
    this.#wholeReads.add(ended);
    try {
      return await read(AbortSignal.any([ended.signal, ...(reader ? [reader] : [])]));
    } catch (error) {
      // The store says that the read was ended; the reason says why.
      if (ended.signal.aborted) throw ended.signal.reason as Error;
      throw error;
    } finally {
      this.#wholeReads.delete(ended);
      release();
    }
  }

  /** Creates the run. @throws StoreConflictError if its id is taken */
  create(description: RunDescription, parent: RunParent | null, secret: string | undefined): Promise<RunSummary> {
    return this.core.post(() => this.#trainers.create(description, parent, secret));
  }

  /** Looks in the store for a run that another hub has created and not announced. */
  lookUp(): Promise<RunSummary | null> {
    return this.core.post(() => this.summary ?? (this.context.cluster === singleHub ? null : this.core.fromStore()));
  }

  /** A trainer attaches the run; see RunRegistry.attach. */
  async attach(attach: Attach, link: TrainerLink): Promise<Attached> {
    this.core.refuseWhileDeleted();
    // A segment begins only once the end of the run is written.
    if (attach.newSegment) await this.#ending.done();
    try {
      return await this.core.post(async () => {
        try {
          await this.#events.catchUp();
          const lastSeq = await this.#trainers.attach(attach, link);
          return { lastSeq, nextSeries: this.core.series.next };
        } finally {
          this.core.expectTrainer();
        }
      });
    } finally {
      await this.#ending.settled();
    }
  }

  /** A trainer's connection is gone. */
  detach(link: TrainerLink): Promise<void> {
    return this.core.post(() => {
      const run = this.summary;
      if (!this.core.liveness.disconnect(link) || !run) return;
      // Of a run that another hub holds, that hub says how it is.
      if (run.trainerConnected && (this.core.record.isHeld || hasEnded(run.state)))
        this.core.record.change({ ...run, trainerConnected: false });
      this.lease.letGoEnded();
      this.core.expectTrainer();
    });
  }

  /** A trainer will be silent for a while; see Busy. @throws Refusal for a connection that does not hold the run */
  busy(link: TrainerLink, { forMs, why }: Busy): Promise<void> {
    return this.core.post(() => {
      const { liveness, record } = this.core;
      const refusal = this.core.refusalOf(link);
      if (refusal) throw refusal;
      // Nobody waits for the trainer of a run that has ended.
      if (!record.isHeld) return;
      liveness.busyFor(forMs);
      record.change({ ...this.summary!, busy: { untilMs: Date.now() + forMs, why } });
    });
  }

  /** Makes events durable, then applies them; see RunRegistry.append. */
  async append(batch: GivenBatch): Promise<Appended> {
    this.core.refuseWhileDeleted();
    const appended = await this.core.mailbox.postTogether(this.#events.take, batch);
    await this.#ending.settled();
    return appended;
  }

  /** A batch of the run's trainer was refused. */
  refused(message: string): Promise<void> {
    return this.core.post(() => this.core.record.noteRefused(1, message));
  }

  /** The trainer will not come back: its run has failed. */
  async lost(reason: string): Promise<void> {
    const { cluster } = this.context;
    const isElsewhere = this.summary && !hasEnded(this.summary.state) && !this.core.record.isHeld;
    const hub = isElsewhere ? await cluster.holder(this.runId) : null;
    if (hub) return cluster.forwardLost(hub, this.runId, reason);
    await this.core.post(() => this.#lost(reason));
    await this.#ending.settled();
  }

  async #lost(reason: string): Promise<void> {
    // It may have sent its last word.
    await this.#events.catchUp().catch(this.context.onError);
    if (!this.summary || hasEnded(this.summary.state)) return;
    // Or to the previous hub.
    if (!this.core.record.isHeld && hasEnded((await this.lease.takeUp(0)).state)) return;
    this.#ending.fail(reason);
  }

  /** The grace period of the trainer has passed. */
  #absent(): void {
    const { cluster, livingProcesses, trainerGraceMs, onError } = this.context;
    // A living but busy process will connect again, and its exit would be noticed.
    const { liveness, record } = this.core;
    if (livingProcesses.has(this.runId)) return liveness.endGrace();
    const { turns } = liveness;
    cluster
      .holder(this.runId)
      .then((hub) =>
        this.core.post(async () => {
          if (liveness.turns !== turns) return;
          if (record.isHeld && hub) this.lease.letGo();
          else if (record.isHeld)
            await this.#lost(
              `The trainer was lost: it did not connect again within ${trainerGraceMs / 1000} s. The run goes on when its ` +
                'trainer sends the same attach as at first; a new process adds newSegment and goes on from a checkpoint ' +
                '(PROTOCOL.md).',
            );
          liveness.endGrace();
        }),
      )
      .catch((error: unknown) => {
        onError(error);
        // It is unknown now whether the trainer is at another hub.
        liveness.endGrace();
        this.core.expectTrainer();
      });
  }

  /**
   * Deletes the run with `remove`, in its turn and only while the run is not busy.
   * @param check throws if the run may not be deleted
   * @returns the result of `remove`; null if the run is busy
   */
  deleteWith<T>(
    check: (run: RunSummary) => void | Promise<void>,
    remove: (run: RunSummary) => Promise<T>,
  ): Promise<T | null> {
    return this.core.post(async () => {
      await this.core.confirmPresence();
      const run = this.summary;
      if (!run) throw new Refusal('not_found', `There is no run ${this.runId} any more.`);
      await check(run);
      for (const read of this.#wholeReads) read.abort(new Refusal('draining', 'The run is being deleted.'));
      if (this.isBusy || !(await this.context.cluster.claimIfFree(this.runId)) || this.isBusy) return null;
      this.core.isBeingDeleted = true;
      try {
        return await remove(run);
      } catch (error) {
        this.core.isPresenceUncertain = this.summary !== null;
        throw error;
      } finally {
        this.core.isBeingDeleted = false;
      }
    });
  }

  /** Another hub holds the run from now on. */
  letGo(): Promise<void> {
    return this.core.post(() => this.lease.letGo());
  }

  /** The run was deleted at another hub. @returns false if a later run has its id already */
  heardDeleted({ createdMs }: { createdMs: number }): Promise<boolean> {
    return this.core.post(() => {
      if (this.summary && this.summary.createdMs !== createdMs) return false;
      this.context.deletedIds.add({ runId: this.runId, createdMs });
      this.core.forget();
      return true;
    });
  }

  /** Records the outcome of a notification, if it is still open here. */
  notified(record: NotificationRecord, ...outcome: NotificationOutcome): Promise<void> {
    return this.core.post(() => this.core.commands.endOwn(record, ...outcome));
  }

  isOpen(commandId: CommandId): boolean {
    return this.core.commands.openOne(commandId) !== undefined;
  }

  /** Ends all timers. */
  close(): void {
    this.core.liveness.endGrace();
    this.core.commands.close();
    this.core.rules.forget();
  }
}
