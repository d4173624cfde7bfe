import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import { CommandLog } from './command-log.js';
import { DeclaredSeries } from './declared-series.js';
import { Liveness, type TrainerLink } from './liveness.js';
import { Mailbox } from './mailbox.js';
import { Refusal } from './refusal.js';
import type { RunContext } from './run-context.js';
import { RunRecord } from './run-record.js';
import { RunRules, type RunRulesOptions } from './rules/run-rules.js';

/** The state of a run, and the mailbox in which all of it changes. */
export class RunCore {
  readonly record: RunRecord;
  readonly commands: CommandLog;
  readonly rules: RunRules;
  readonly series: DeclaredSeries;
  readonly liveness: Liveness;
  readonly mailbox: Mailbox;
  /** The connection of a trainer that has attached the ended run to begin another segment. */
  goesOnBy: TrainerLink | null = null;
  isBeingDeleted = false;
  /** A failed deletion may have been done. */
  isPresenceUncertain = false;

  /**
   * @param onAbsent called when the trainer's grace period has passed
   * @param give gives a command of the run's rules
   */
  constructor(
    readonly runId: RunId,
    readonly context: RunContext,
    onAbsent: () => void,
    give: RunRulesOptions['give'],
  ) {
    const { store, shared, deletedIds, replay, backlogs, tryAgainMs, onChange, onError } = context;
    this.mailbox = new Mailbox(() => context.onIdle(runId));
    this.series = new DeclaredSeries(runId, store);
    this.record = new RunRecord(runId, { store, shared, deletedIds, onChange });
    this.commands = new CommandLog(runId, {
      ...{ store, expiryMs: context.commandExpiryMs },
      onRecord: context.onCommand,
      onNotification: context.onNotification,
      onExpired: (commandId) => void this.post(() => this.commands.expire(commandId)).catch(onError),
    });
    this.liveness = new Liveness(context.trainerGraceMs, onAbsent);
    this.rules = new RunRules({
      ...{ store, shared, replay, backlogs, log: this.commands, tryAgainMs, give, onError },
      run: () => this.record.summary!,
      post: (handle) => this.post(handle),
      onStates: (states) => context.onRules(runId, states),
    });
  }

  /** Null if this hub knows no such run. */
  get summary(): RunSummary | null {
    return this.record.summary;
  }

  /** Handles a message in its turn. A message of the same mailbox must not wait for it. */
  post<T>(handle: () => T | Promise<T>): Promise<T> {
    return this.mailbox.post(handle);
  }

  /**
   * @throws Refusal `draining` while the run is being deleted: whether it will be is not certain, so it is to be tried
   *   again
   */
  refuseWhileDeleted(): void {
    if (this.isBeingDeleted)
      throw new Refusal('draining', `The run ${this.runId} is being deleted. Try again in a moment.`);
  }

  notFound(): Refusal {
    return new Refusal('not_found', `There is no run ${this.runId}.`);
  }

  /**
   * Why a message of a trainer's connection is not taken, or null: the run takes the messages of the connection that holds
   * it, and of no other. Asked in the mailbox, where connections take the run over too.
   */
  refusalOf(link: TrainerLink): Refusal | null {
    if (!this.summary) return this.notFound();
    if (this.liveness.link === link) return null;
    const why = this.liveness.link
      ? `Another connection has taken over the run ${this.runId}`
      : `This connection does not hold the run ${this.runId}`;
    return new Refusal('conflict', `${why}: attach it again.`, { retry: true });
  }

  /** Looks in the store for a run that another hub has created and not announced. */
  async fromStore(): Promise<RunSummary | null> {
    const stored = await this.context.store.run(this.runId);
    return stored && !this.record.isDeleted(stored) ? this.record.restore(stored) : null;
  }

  /** Starts the grace period of an absent trainer, unless it runs. */
  expectTrainer(): void {
    const { summary, liveness, record } = this;
    if (!summary || hasEnded(summary.state)) return;
    if (record.isHeld && liveness.link === null) liveness.expect();
  }

  /** After a failed deletion, checks whether the run still exists. */
  async confirmPresence(): Promise<void> {
    if (!this.isPresenceUncertain || !this.summary) return;
    const isThere = (await this.context.store.run(this.runId)) !== null;
    this.isPresenceUncertain = false;
    if (!isThere) await this.foundDeleted();
  }

  /** Handles a deletion that this hub did not hear of. In the mailbox. */
  async foundDeleted(): Promise<void> {
    const run = this.summary!;
    this.forgetDeleted();
    await this.context.onDeleted(run);
  }

  /** Forgets the run after its deletion. In the mailbox. */
  forgetDeleted(): void {
    if (this.summary) this.context.deletedIds.add(this.summary);
    this.forget();
  }

  /** Forgets all state of the run. In the mailbox. */
  forget(): void {
    this.rules.forget();
    this.series.forget();
    this.liveness.release();
    // Undelivered notifications are dropped: nobody can look at the run any more.
    this.commands.forget();
    this.record.clear();
  }
}

/** The refusal for the trainer of a run that a person has ended. */
export const endedByForce = ({ runId, reason }: RunSummary): string =>
  `The run ${runId} was ended at the hub and takes no more events. ${reason}`;
