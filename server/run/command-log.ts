import type { CommandId, CommandRecord, CommandState, GivenCommand } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../store/event-store.js';
import { isNotification, type NotificationRecord } from './webhook.js';

/** The events by which a trainer ends commands. */
export const commandEndTypes = ['command_applied', 'command_failed'] as const satisfies readonly ControlEvent['type'][];

export interface CommandLogOptions {
  store: EventStore;
  /** How long a trainer has to confirm a command. */
  expiryMs: number;
  /** A record was written. */
  onRecord: (record: CommandRecord) => void;
  /** A notification is durable and open at this hub: deliver it. */
  onNotification: (record: NotificationRecord) => void;
  /** A command was not confirmed in time; see `expire`. */
  onExpired: (commandId: CommandId) => void;
}

/**
 * The audit log of one run: every command given, each ending exactly once.
 * A command that the trainer does not confirm in time expires and is not sent again. The trainer ends a confirmed command.
 * The end of the run fails all open commands. Expiry and such a failure are guesses about an unreachable trainer: its later
 * report replaces them.
 * The hub carries out notifications itself. They neither expire nor end with their run.
 * Call all methods that change state in the run's mailbox.
 */
export class CommandLog {
  /**
   * Counts the beginnings and ends of writes of new commands, including failed ones, which may have been done. A look-up
   * of an id is valid only while this stays the same.
   */
  newWrites = 0;
  /** A write of a new command failed, but may have been done. */
  #isUncertain = false;
  /** Open commands in the order they were given. */
  readonly #open = new Map<CommandId, CommandRecord>();
  /** The timers of open commands that the trainer has not confirmed. */
  readonly #expiries = new Map<CommandId, NodeJS.Timeout>();

  constructor(
    readonly runId: RunId,
    readonly options: CommandLogOptions,
  ) {}

  /**
   * Takes up the commands that were open when the hub went down, and ends those with an outcome in the run's events.
   * @param delivers whether this hub delivers the open notifications, because it holds the run
   * @returns the whole log
   */
  async load(events: readonly ControlEvent[], delivers = true): Promise<CommandRecord[]> {
    const records = await this.options.store.commands(this.runId);
    for (const record of records)
      if (record.state === 'pending' && (delivers || !isNotification(record))) this.takeUp(record);
    const byId = new Map(records.map((record) => [record.commandId, record]));
    // Skips commands whose outcome is already recorded: a look-up of each would make taking up a much steered run slow.
    await this.closeFrom(events.filter((event) => !('commandId' in event && byId.get(event.commandId)?.step != null)));
    return records;
  }

  /**
   * After a failed write, takes up the pending commands that were written all the same.
   * @returns the whole log after a failed write; nothing otherwise
   */
  async settle(): Promise<CommandRecord[]> {
    if (!this.#isUncertain) return [];
    const records = await this.options.store.commands(this.runId);
    for (const record of records) if (record.state === 'pending') this.takeUp(record);
    this.#isUncertain = false;
    return records;
  }

  /** Takes up a pending command from another hub. @returns false if it is already open here */
  takeUp(record: CommandRecord): boolean {
    if (this.#open.has(record.commandId)) return false;
    this.#hold(record);
    if (isNotification(record)) this.options.onNotification(record);
    return true;
  }

  /** Another hub ends the run's commands from now on, or the run was deleted. */
  forget(): void {
    for (const commandId of [...this.#open.keys()]) this.#release(commandId);
  }

  /** The record of an earlier command of any run. */
  async find(commandId: CommandId): Promise<CommandRecord | null> {
    return this.#open.get(commandId) ?? (await this.options.store.command(commandId));
  }

  get open(): CommandRecord[] {
    return [...this.#open.values()];
  }

  /** An open command that this hub ends. */
  openOne(commandId: CommandId): CommandRecord | undefined {
    return this.#open.get(commandId);
  }

  /** Records a command: pending, or rejected with a reason. */
  async add(command: GivenCommand, author: string, rejection: string | null): Promise<CommandRecord> {
    const record: CommandRecord = {
      ...asReceived(command, author),
      ...(rejection !== null && { state: 'rejected', endedMs: Date.now(), reason: rejection }),
    };
    await this.#putNew(record);
    if (rejection === null) this.#hold(record);
    if (rejection === null && isNotification(record)) this.options.onNotification(record);
    this.options.onRecord(record);
    return record;
  }

  /** Records a command that takes effect with the write itself. `tell` reports it. */
  async addApplied(
    command: GivenCommand,
    author: string,
    outcome: Pick<CommandRecord, 'step' | 'before' | 'after' | 'afterSeq'>,
  ): Promise<CommandRecord> {
    const record: CommandRecord = {
      ...asReceived(command, author),
      ...{ state: 'applied', endedMs: Date.now() },
      ...outcome,
    };
    await this.#putNew(record);
    return record;
  }

  /** Records that a command of `addApplied` failed after all. */
  async undo(applied: CommandRecord, reason: string): Promise<CommandRecord> {
    const record: CommandRecord = { ...applied, state: 'failed', endedMs: Date.now(), reason };
    await this.#put(record);
    return record;
  }

  /** Reports a command of `addApplied` to the listeners. */
  tell(record: CommandRecord): void {
    this.options.onRecord(record);
  }

  /** The trainer has queued the command, so that it no longer expires. */
  confirm(commandId: CommandId): void {
    clearTimeout(this.#expiries.get(commandId));
    this.#expiries.delete(commandId);
  }

  /** Expires a command, unless the trainer has confirmed it by now. */
  async expire(commandId: CommandId): Promise<void> {
    if (!this.#expiries.has(commandId)) return;
    await this.#end(commandId, 'expired', {
      reason: `No trainer confirmed it within ${this.options.expiryMs / 1000} s.`,
    });
  }

  /** Ends the commands whose outcome is among these events. */
  async closeFrom(events: readonly ControlEvent[]): Promise<void> {
    for (const event of events) {
      if (event.type === 'command_applied')
        await this.#end(event.commandId, 'applied', { step: event.step, before: event.before, after: event.after });
      if (event.type === 'command_failed')
        await this.#end(event.commandId, 'failed', { step: event.step, reason: event.reason });
    }
  }

  /** Fails all open commands of an ended run. */
  async failOpen(reason: string): Promise<void> {
    await this.settle();
    for (const record of this.open)
      if (!isNotification(record)) await this.#end(record.commandId, 'failed', { reason });
  }

  /** Ends a notification that this hub carried out, if it is still open here. */
  async endOwn(
    { commandId, action }: NotificationRecord,
    state: 'applied' | 'failed',
    outcome: Pick<CommandRecord, 'after'> | Pick<CommandRecord, 'reason'>,
  ): Promise<void> {
    if (this.#open.has(commandId)) await this.#end(commandId, state, { step: action.step, ...outcome });
  }

  /** Fails an open command. */
  async fail(commandId: CommandId, reason: string): Promise<void> {
    if (this.#open.has(commandId)) await this.#end(commandId, 'failed', { reason });
  }

  close(): void {
    for (const timer of this.#expiries.values()) clearTimeout(timer);
    this.#expiries.clear();
  }

  async #putNew(record: CommandRecord): Promise<void> {
    this.newWrites++;
    try {
      await this.#put(record);
    } catch (error) {
      this.#isUncertain = true;
      throw error;
    } finally {
      // Again: a look-up that began during the write may not have found the record.
      this.newWrites++;
    }
  }

  #put(record: CommandRecord): Promise<void> {
    return this.options.store.putCommand(record);
  }

  #hold(record: CommandRecord): void {
    const { commandId } = record;
    this.#open.set(commandId, record);
    if (isNotification(record)) return;
    const expire = (): void => this.options.onExpired(commandId);
    this.#expiries.set(commandId, setTimeout(expire, this.options.expiryMs).unref());
  }

  #release(commandId: CommandId): void {
    this.#open.delete(commandId);
    this.confirm(commandId);
  }

  /** A failed write leaves the command open; an expiry is tried again after another `expiryMs`. */
  async #end(commandId: CommandId, state: CommandState, outcome: Partial<CommandRecord>): Promise<void> {
    const record = this.#open.get(commandId) ?? (await this.#guessed(commandId, outcome));
    if (!record) return;
    const ended = { ...record, ...outcome, state, endedMs: Date.now() };
    try {
      await this.#put(ended);
    } catch (error) {
      if (state === 'expired') this.#hold(record);
      throw error;
    }
    this.#release(commandId);
    this.options.onRecord(ended);
  }

  /** The record of a command that the hub gave up and the trainer now reports: `outcome` has a step. */
  async #guessed(commandId: CommandId, outcome: Partial<CommandRecord>): Promise<CommandRecord | null> {
    if (outcome.step === undefined) return null;
    const record = await this.options.store.command(commandId);
    const guessed = record && record.step === null && (record.state === 'expired' || record.state === 'failed');
    return guessed ? { ...record, reason: '' } : null;
  }
}

const asReceived = (command: GivenCommand, author: string): CommandRecord => ({
  ...command,
  author,
  state: 'pending',
  receivedMs: Date.now(),
  endedMs: null,
  step: null,
  before: null,
  after: null,
  reason: '',
});
