import type { CommandId, CommandRecord, CommandState, GivenCommand } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../store/event-store.js';
import { isNotification, type NotificationRecord } from './webhook.js';

export interface CommandLogOptions {
  store: EventStore;
  /** How long a trainer has to confirm a command. */
  expiryMs: number;
  /** A record was written. */
  onRecord: (record: CommandRecord) => void;
  /** A notification is open here and durable: it is to be delivered. */
  onNotification: (record: NotificationRecord) => void;
  /** A command was not confirmed in time; see `expire`. */
  onExpired: (commandId: CommandId) => void;
}

/**
 * The audit log of one run: every command given, each ending exactly once.
 * A command that its trainer has not confirmed in time expires and is not sent again; a confirmed one is the trainer's to
 * end, and the end of the run fails what is still open. Both are the hub's guess about a trainer that it cannot reach:
 * should that trainer say later what became of the command, its word replaces the guess.
 * Notifications are the hub's own to carry out: they neither expire nor end with their run.
 * All methods that change something are called in the run's mailbox.
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
  /** Of the open commands, those that the trainer has not confirmed. */
  readonly #expiries = new Map<CommandId, NodeJS.Timeout>();

  constructor(
    readonly runId: RunId,
    readonly options: CommandLogOptions,
  ) {}

  /**
   * Takes up what was open when the hub went down, and ends what the run's events say has ended.
   * @param delivers this hub holds the run, so that its open notifications are to be delivered here
   * @returns all that is in the log
   */
  async load(events: readonly ControlEvent[], delivers = true): Promise<CommandRecord[]> {
    const records = await this.options.store.commands(this.runId);
    for (const record of records)
      if (record.state === 'pending' && (delivers || !isNotification(record))) this.takeUp(record);
    const byId = new Map(records.map((record) => [record.commandId, record]));
    // Those that have their trainer's word already are left out: each would be looked up in the store again, and a hub
    // that takes up a long run would take longer the more it was steered.
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

  /** Goes on with a pending command that was given elsewhere. @returns false when it is open here already */
  takeUp(record: CommandRecord): boolean {
    if (this.#open.has(record.commandId)) return false;
    this.#hold(record);
    if (isNotification(record)) this.options.onNotification(record);
    return true;
  }

  /** The run's commands are another hub's to end, or the run is no more. */
  forget(): void {
    for (const commandId of [...this.#open.keys()]) this.#release(commandId);
  }

  /** The record of a command given before, to this run or another one. */
  async find(commandId: CommandId): Promise<CommandRecord | null> {
    return this.#open.get(commandId) ?? (await this.options.store.command(commandId));
  }

  get open(): CommandRecord[] {
    return [...this.#open.values()];
  }

  /** An open command, while it is this hub's to end. */
  openOne(commandId: CommandId): CommandRecord | undefined {
    return this.#open.get(commandId);
  }

  /** Writes a command down: rejected at once with a reason, or pending. */
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

  /** Writes a command down that takes effect at the hub as it is written. It is told of by `tell`. */
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

  /** Writes that a command of `addApplied` came to nothing after all. */
  async undo(applied: CommandRecord, reason: string): Promise<CommandRecord> {
    const record: CommandRecord = { ...applied, state: 'failed', endedMs: Date.now(), reason };
    await this.#put(record);
    return record;
  }

  /** Tells whoever listens of a command of `addApplied`. */
  tell(record: CommandRecord): void {
    this.options.onRecord(record);
  }

  /** The trainer has queued it: from now on the command waits for the trainer's word alone. */
  confirm(commandId: CommandId): void {
    clearTimeout(this.#expiries.get(commandId));
    this.#expiries.delete(commandId);
  }

  /** Ends a command that no trainer has confirmed, unless one has by now. */
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

  /** Fails all that is open of a run that has ended. */
  async failOpen(reason: string): Promise<void> {
    await this.settle();
    for (const record of this.open)
      if (!isNotification(record)) await this.#end(record.commandId, 'failed', { reason });
  }

  /** Ends a command that the hub itself carried out, if it is this hub's to end. */
  async endOwn(
    { commandId, action }: NotificationRecord,
    state: 'applied' | 'failed',
    outcome: Pick<CommandRecord, 'after'> | Pick<CommandRecord, 'reason'>,
  ): Promise<void> {
    if (this.#open.has(commandId)) await this.#end(commandId, state, { step: action.step, ...outcome });
  }

  /** An open command that will not be carried out. */
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

  /** What cannot be written leaves the command as it was; an expiry is tried again after another `expiryMs`. */
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

  /** The record of a command that the hub gave up and that its trainer now speaks of: `outcome` has a step. */
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
