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

/** What a trainer is told that has taken up a run. */
export interface Attached {
  /** The highest stored event number. */
  lastSeq: number;
  /** The number from which on none stands for a series yet. */
  nextSeries: number;
}

type NotificationOutcome = Parameters<CommandLog['endOwn']> extends [unknown, ...infer Rest] ? Rest : never;

/**
 * The one owner of a run: all that happens to it comes as a message to its mailbox and is handled there, one after
 * another. So what is known of the run does not change while one message is handled, however long the store takes; other
 * runs do not wait for it. What takes long and changes nothing is done before a message is posted; what waits for time to
 * pass is an event that posts one. A message never waits for a message to another run.
 */
export class Run {
  readonly core: RunCore;
  readonly lease: RunLease;
  readonly #ending: RunEnding;
  readonly #commands: CommandIntake;
  readonly #events: EventIntake;
  readonly #trainers: TrainerIntake;
  /** How many read all of the run or open branches of it: it is not deleted meanwhile. */
  #holds = 0;

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

  /** Null where there is no such run, as far as this hub knows. */
  get summary(): RunSummary | null {
    return this.core.record.summary;
  }

  get give(): CommandIntake['give'] {
    return this.#commands.give.bind(this.#commands);
  }

  /** Nothing is known of the run, and nothing is being done with it. */
  get isVoid(): boolean {
    return this.summary === null && this.#holds === 0 && this.core.mailbox.isIdle;
  }

  /** Something is still to be written of the run, or it is being read or branched. */
  get isBusy(): boolean {
    const { livingProcesses } = this.context;
    return this.#holds > 0 || this.#ending.isUnderWay || this.core.record.isDirty || livingProcesses.has(this.runId);
  }

  /**
   * Holds off the run's deletion.
   * @returns ends that
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

  /** Makes the run. @throws StoreConflictError when there is one under its id */
  create(description: RunDescription, parent: RunParent | null, secret: string | undefined): Promise<RunSummary> {
    return this.core.post(() => this.#trainers.create(description, parent, secret));
  }

  /** Looks in the store for a run that another hub has made and not told of. */
  lookUp(): Promise<RunSummary | null> {
    return this.core.post(() => this.summary ?? (this.context.cluster === singleHub ? null : this.core.fromStore()));
  }

  /** A trainer takes up the run; see RunRegistry.attach. */
  async attach(attach: Attach, link: TrainerLink): Promise<Attached> {
    this.core.refuseWhileDeleted();
    // A run goes on from its end, once all of that is written.
    if (attach.newSegment) await this.#ending.done();
    try {
      return await this.core.post(async () => {
        try {
          await this.#events.catchUp();
          const lastSeq = await this.#trainers.attach(attach, link);
          // One that has ended takes no more values.
          if (this.core.record.isHeld || this.core.goesOnBy !== null) await this.core.series.load(lastSeq);
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
      if (!this.core.liveness.disconnect(link) || !this.summary) return;
      this.core.record.change({ ...this.summary, trainerConnected: false });
      this.lease.letGoEnded();
      this.core.expectTrainer();
    });
  }

  /** A trainer will be silent for a while; see Busy. */
  busy(link: TrainerLink, { forMs, why }: Busy): Promise<void> {
    return this.core.post(() => {
      const { liveness, record } = this.core;
      if (liveness.link !== link || !this.summary) return;
      liveness.busyFor(forMs);
      record.change({ ...this.summary, busy: { untilMs: Date.now() + forMs, why } });
    });
  }

  /** Makes events durable, then lets them take effect; see RunRegistry.append. */
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
    // It may have said its last word.
    await this.#events.catchUp().catch(this.context.onError);
    if (!this.summary || hasEnded(this.summary.state)) return;
    // Or where it was before.
    if (!this.core.record.isHeld && hasEnded((await this.lease.takeUp(0)).state)) return;
    await this.#ending.fail(reason);
  }

  /** The trainer has stayed away for as long as it may. */
  #absent(): void {
    const { cluster, livingProcesses, trainerGraceMs, onError } = this.context;
    // A living process that is busy will connect again; its exit would tell of its death.
    if (livingProcesses.has(this.runId)) return;
    const { turns } = this.core.liveness;
    cluster
      .holder(this.runId)
      .then((hub) =>
        this.core.post(async () => {
          if (this.core.liveness.turns !== turns || !this.core.record.isHeld) return;
          if (hub) this.lease.letGo();
          else await this.#lost(`The trainer was lost: it did not connect again within ${trainerGraceMs / 1000} s.`);
        }),
      )
      .catch((error: unknown) => {
        onError(error);
        // Whether its trainer is at another hub cannot be asked now.
        this.core.expectTrainer();
      });
  }

  /**
   * Deletes the run with `remove`, in its turn and only while nothing is being done with it.
   * @param check throws what is against it
   * @returns what `remove` does; null when the run is busy
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

  /** The run was deleted at another hub. @returns false when there is a later one under its id already */
  heardDeleted({ createdMs }: { createdMs: number }): Promise<boolean> {
    return this.core.post(() => {
      if (this.summary && this.summary.createdMs !== createdMs) return false;
      this.context.deletedIds.add({ runId: this.runId, createdMs });
      this.core.forget();
      return true;
    });
  }

  /** The outcome of a notification, while it is this hub's to end. */
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
