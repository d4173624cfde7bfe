import { EventEmitter } from 'node:events';
import type { CommandId, CommandKind, CommandRecord, CommandState, GivenCommand } from '@plumbline/shared/command';
import { hasEnded, type RunId, type RunState } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../store/event-store.js';
import { isNotification, type NotificationRecord } from './webhook.js';

const notPaused = 'The run is not paused; pause it first.';
/** Kinds that a state does not allow, with the reason; what is not named here is allowed while the run lives. */
const refused: Record<'created' | 'running' | 'paused', Partial<Record<CommandKind, string>>> = {
  created: {
    resume: notPaused,
    step_once: notPaused,
    restore_checkpoint: 'The run has not started yet.',
    restore_best_checkpoint: 'The run has not started yet.',
  },
  running: { resume: 'The run is not paused.', step_once: notPaused },
  paused: { pause: 'The run is paused already.' },
};

/** Why a run in this state cannot take this kind of command; `null` when it can. */
export function refusalReason(kind: CommandKind, state: RunState): string | null {
  // People can be told of a run whatever has become of it.
  if (kind === 'notify') return null;
  if (state === 'created' || state === 'running' || state === 'paused') return refused[state][kind] ?? null;
  return kind === 'restore_checkpoint' || kind === 'restore_best_checkpoint'
    ? `The run has ended (${state}). Start a new run from its checkpoint instead.`
    : `The run has ended (${state}); it takes no more commands.`;
}

/** The state a run will be in once its open commands are done: resuming right after pausing is no mistake. */
export function expectedState(now: RunState, open: readonly CommandRecord[]): RunState {
  return open.reduce<RunState>((state, { action }) => {
    if (action.kind === 'pause' && !hasEnded(state)) return 'paused';
    if (action.kind === 'resume' && state === 'paused') return 'running';
    return state;
  }, now);
}

/**
 * The audit log: every command given, each ending exactly once.
 * A command that its trainer has not confirmed in time expires and is not sent again; a confirmed one is the
 * trainer's to end, and the end of the run fails what is still open. Both are the hub's guess about a trainer that it
 * cannot reach: should that trainer say later what became of the command, its word replaces the guess.
 * Notifications are the hub's own to carry out: they neither expire nor end with their run.
 */
export class CommandLog extends EventEmitter<{
  record: [CommandRecord];
  /** A notification is open here and durable: it is to be delivered. */
  notification: [NotificationRecord];
}> {
  /** Open commands in the order they were given. */
  readonly #open = new Map<CommandId, CommandRecord>();
  readonly #expiries = new Map<CommandId, NodeJS.Timeout>();

  constructor(
    readonly store: EventStore,
    readonly expiryMs: number,
    readonly onError: (error: unknown) => void,
  ) {
    super();
  }

  /**
   * Takes up what was open when the hub went down, and ends what the run's events say has ended.
   * @param delivers this hub holds the run, so that its open notifications are to be delivered here
   */
  async load(runId: RunId, events: readonly ControlEvent[], delivers = true): Promise<void> {
    const records = new Map((await this.store.commands(runId)).map((record) => [record.commandId, record]));
    for (const record of records.values())
      if (record.state === 'pending' && (delivers || !isNotification(record))) this.takeUp(record);
    // Those that have their trainer's word already are left out: each would be looked up in the store again, and a hub
    // that takes up a long run would take longer the more it was steered.
    await this.closeFrom(
      events.filter((event) => !('commandId' in event && records.get(event.commandId)?.step != null)),
    );
  }

  /** Goes on with a pending command that was given elsewhere. @returns false when it is open here already */
  takeUp(record: CommandRecord): boolean {
    if (this.#open.has(record.commandId)) return false;
    this.#hold(record);
    if (isNotification(record)) this.emit('notification', record);
    return true;
  }

  /** The run's commands are another hub's to end. */
  forget(runId: RunId): void {
    for (const { commandId } of this.open(runId)) this.#release(commandId);
  }

  /** The record of a command given before, if there is one. */
  async find(commandId: CommandId): Promise<CommandRecord | null> {
    return this.#open.get(commandId) ?? (await this.store.command(commandId));
  }

  /** Runs of which something is open here. */
  get openRuns(): RunId[] {
    return [...new Set([...this.#open.values()].map(({ runId }) => runId))];
  }

  get openCount(): number {
    return this.#open.size;
  }

  open(runId: RunId): CommandRecord[] {
    return [...this.#open.values()].filter((record) => record.runId === runId);
  }

  /** Writes a command down: rejected at once with a reason, or pending. */
  async add(command: GivenCommand, author: string, rejection: string | null): Promise<CommandRecord> {
    const twin = this.#open.get(command.commandId);
    if (twin) return twin;
    const record: CommandRecord = {
      ...asReceived(command, author),
      ...(rejection !== null && { state: 'rejected', endedMs: Date.now(), reason: rejection }),
    };
    // Held before it is durable, so that its twin arriving meanwhile finds it.
    if (rejection === null) this.#hold(record);
    try {
      await this.store.putCommand(record);
    } catch (error) {
      this.#release(record.commandId);
      throw error;
    }
    this.emit('record', record);
    if (rejection === null && isNotification(record)) this.emit('notification', record);
    return record;
  }

  /**
   * Writes a command down that takes effect at the hub as it is written.
   * @param reachMs within this time whichever hub takes the run up next has to find it, or it has failed, as its record
   *   then says; null where there is no other hub
   */
  async addApplied(
    command: GivenCommand,
    author: string,
    outcome: Pick<CommandRecord, 'step' | 'before' | 'after' | 'afterSeq'>,
    reachMs: number | null,
  ): Promise<CommandRecord> {
    let record: CommandRecord = {
      ...asReceived(command, author),
      ...{ state: 'applied', endedMs: Date.now() },
      ...outcome,
    };
    await this.store.putCommand(record);
    if (reachMs !== null && (await this.store.arrived?.(record.commandId, reachMs)) === false) {
      const reason =
        `The store that all hubs share did not have it within ${reachMs / 1000} s, and another hub could not know of it: ` +
        'nothing is changed. Try again once the store answers.';
      record = { ...record, state: 'failed', endedMs: Date.now(), reason };
      await this.store.putCommand(record);
    }
    this.emit('record', record);
    return record;
  }

  /** The trainer has queued it: from now on the command waits for the trainer's word alone. */
  confirm(commandId: CommandId): void {
    clearTimeout(this.#expiries.get(commandId));
    this.#expiries.delete(commandId);
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
  async failOpen(runId: RunId, reason: string): Promise<void> {
    for (const record of this.open(runId))
      if (!isNotification(record)) await this.#end(record.commandId, 'failed', { reason });
  }

  /** Whether a command is this hub's to end. */
  isOpen(commandId: CommandId): boolean {
    return this.#open.has(commandId);
  }

  /** Ends a command that the hub itself carried out. */
  async endOwn(
    { commandId, action }: NotificationRecord,
    state: 'applied' | 'failed',
    outcome: Pick<CommandRecord, 'after'> | Pick<CommandRecord, 'reason'>,
  ): Promise<void> {
    await this.#end(commandId, state, { step: action.step, ...outcome });
  }

  close(): void {
    for (const timer of this.#expiries.values()) clearTimeout(timer);
    this.#expiries.clear();
  }

  #hold(record: CommandRecord): void {
    this.#open.set(record.commandId, record);
    if (isNotification(record)) return;
    const reason = `No trainer confirmed it within ${this.expiryMs / 1000} s.`;
    const expire = () => void this.#end(record.commandId, 'expired', { reason }).catch(this.onError);
    this.#expiries.set(record.commandId, setTimeout(expire, this.expiryMs).unref());
  }

  #release(commandId: CommandId): void {
    this.#open.delete(commandId);
    this.confirm(commandId);
  }

  async #end(commandId: CommandId, state: CommandState, outcome: Partial<CommandRecord>): Promise<void> {
    const record = this.#open.get(commandId) ?? (await this.#guessed(commandId, outcome));
    if (!record) return;
    // Taken off first: whoever comes second finds nothing to end.
    this.#release(commandId);
    const ended = { ...record, ...outcome, state, endedMs: Date.now() };
    try {
      await this.store.putCommand(ended);
    } catch (error) {
      // Open again. Its trainer may have confirmed it, so it expires only if that was to be written.
      if (state === 'expired') this.#hold(record);
      else this.#open.set(commandId, record);
      throw error;
    }
    this.emit('record', ended);
  }

  /** The record of a command that the hub gave up and that its trainer now speaks of: `outcome` has a step. */
  async #guessed(commandId: CommandId, outcome: Partial<CommandRecord>): Promise<CommandRecord | null> {
    if (outcome.step === undefined) return null;
    const record = await this.store.command(commandId);
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
