import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import { CommandLog } from './command-log.js';
import { DeclaredSeries } from './declared-series.js';
import { Liveness, type TrainerLink } from './liveness.js';
import { Mailbox } from './mailbox.js';
import { Refusal } from './refusal.js';
import type { RunContext } from './run-context.js';
import { RunRecord } from './run-record.js';
import { RunRules, type RunRulesOptions } from './rules/run-rules.js';

/** What is known of a run, and the mailbox in which all of it changes. */
export class RunCore {
  readonly record: RunRecord;
  readonly commands: CommandLog;
  readonly rules: RunRules;
  readonly series: DeclaredSeries;
  readonly liveness: Liveness;
  readonly mailbox: Mailbox;
  /** The connection of a trainer that goes on with the run, which has ended, as another segment. */
  goesOnBy: TrainerLink | null = null;
  isBeingDeleted = false;
  /** The run may have been deleted although that failed. */
  isPresenceUncertain = false;

  /**
   * @param onAbsent the trainer has stayed away for as long as it may
   * @param give gives a command of the run's rules
   */
  constructor(
    readonly runId: RunId,
    readonly context: RunContext,
    onAbsent: () => void,
    give: RunRulesOptions['give'],
  ) {
    const { store, shared, deletedIds, replay, tryAgainMs, onChange, onError } = context;
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
      ...{ store, shared, replay, log: this.commands, tryAgainMs, give, onError },
      run: () => this.record.summary!,
      post: (handle) => this.post(handle),
      onStates: (states) => context.onRules(runId, states),
    });
  }

  /** Null where there is no such run, as far as this hub knows. */
  get summary(): RunSummary | null {
    return this.record.summary;
  }

  /** Does something in its turn. A message of its own must not wait for it. */
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

  /** Looks in the store for a run that another hub has made and not told of. */
  async fromStore(): Promise<RunSummary | null> {
    const stored = await this.context.store.run(this.runId);
    return stored && !this.record.isDeleted(stored) ? this.record.restore(stored) : null;
  }

  /** A trainer that is not here is to come within the grace period. */
  expectTrainer(): void {
    const { summary, liveness, record } = this;
    if (!summary || hasEnded(summary.state)) return;
    if (record.isHeld && liveness.link === null) liveness.startGrace();
  }

  /** After a deletion that failed: where the run is gone all the same, it is no more. */
  async confirmPresence(): Promise<void> {
    if (!this.isPresenceUncertain || !this.summary) return;
    const isThere = (await this.context.store.run(this.runId)) !== null;
    this.isPresenceUncertain = false;
    if (!isThere) await this.foundDeleted();
  }

  /** The run was deleted without this hub knowing. In the mailbox. */
  async foundDeleted(): Promise<void> {
    const run = this.summary!;
    this.forgetDeleted();
    await this.context.onDeleted(run);
  }

  /** The run is no more. In the mailbox. */
  forgetDeleted(): void {
    if (this.summary) this.context.deletedIds.add(this.summary);
    this.forget();
  }

  /** Nothing is known of the run any more. In the mailbox. */
  forget(): void {
    this.rules.forget();
    this.series.forget();
    this.liveness.release();
    // A notification that is still to be delivered is of a run that nobody can look at any more.
    this.commands.forget();
    this.record.clear();
  }
}

/** What is said to a trainer of a run that a person has ended. */
export const endedByForce = ({ runId, reason }: RunSummary): string =>
  `The run ${runId} was ended at the hub and takes no more events. ${reason}`;
