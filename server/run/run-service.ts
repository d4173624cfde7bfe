import { EventEmitter } from 'node:events';
import type { Command, CommandRecord } from '@plumbline/shared/command';
import {
  hasEnded,
  type RunId,
  type RunConfig,
  type RunParent,
  type RunState,
  type RunSummary,
} from '@plumbline/shared/run';
import type { Attach } from '@plumbline/shared/socket';
import { isMetricEvent, type ControlEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import type { EventStore, StoredRun } from '../store/event-store.js';
import { CommandLog, refusalReason } from './command-log.js';
import { Refusal } from './refusal.js';
import { newRunId } from './run-id.js';
import { afterEvent, isLastWord, nextState, stateFromEvents, wasLost } from './run-state.js';

/** The hub's end of a trainer's connection. */
export interface TrainerLink {
  /** Resolves when the trainer has queued the command. */
  send(command: Command): Promise<void>;
  close(): void;
}

export interface RunServiceOptions {
  trainerGraceMs: number;
  commandExpiryMs: number;
  onError: (error: unknown) => void;
}

interface RunServiceEvents {
  /** A run appeared or changed. */
  run: [RunSummary];
  /** Events of a run became durable. */
  events: [RunId, TrainerEvent[]];
  command: [CommandRecord];
  /** A trainer took up a run. */
  attached: [RunSummary];
}

/** All that happens to runs: whoever watches (sockets) listens, whoever acts (REST, sockets, supervisor) calls. */
export class RunService extends EventEmitter<RunServiceEvents> {
  readonly commands: CommandLog;
  /** Runs whose trainer's process is known to live: their end is told by its exit, not by a lost connection. */
  readonly livingProcesses = new Set<RunId>();
  readonly #runs = new Map<RunId, RunSummary>();
  readonly #links = new Map<RunId, TrainerLink>();
  readonly #graces = new Map<RunId, NodeJS.Timeout>();
  /** Runs whose last change is not written yet because the store failed. */
  readonly #unwritten = new Set<RunId>();
  #loading: Promise<void> | null = null;

  constructor(
    readonly store: EventStore,
    readonly options: RunServiceOptions,
  ) {
    super();
    this.commands = new CommandLog(store, options.commandExpiryMs, options.onError);
    this.commands.on('record', (record) => this.emit('command', record));
  }

  /** Reads all runs, once; called by every method, so a store that was down at the start is tried again. */
  load(): Promise<void> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = null;
      throw error;
    });
    return this.#loading;
  }

  /** Newest first. */
  async list(): Promise<RunSummary[]> {
    await this.load();
    return [...this.#runs.values()].sort((a, b) => b.createdMs - a.createdMs);
  }

  /** @throws Refusal `not_found` */
  async get(runId: RunId): Promise<RunSummary> {
    await this.load();
    const run = this.#runs.get(runId);
    if (!run) throw new Refusal('not_found', `There is no run ${runId}.`);
    return run;
  }

  /** @throws StoreConflictError when the id is taken */
  async create(config: RunConfig, parent: RunParent | null, runId: RunId = newRunId(config)): Promise<RunSummary> {
    await this.load();
    const stored: StoredRun = {
      runId,
      config,
      parent,
      state: 'created',
      reason: '',
      trainer: null,
      createdMs: Date.now(),
      startedMs: null,
      endedMs: null,
    };
    await this.store.createRun(stored);
    return this.#set({ ...stored, trainerConnected: false, lastSeq: 0, lastStep: 0 });
  }

  /**
   * A trainer takes up a run: one it brings itself, one the hub made, or one it was torn from.
   * The newest connection of a run holds it. A run that has said its last word is only answered.
   * @returns the highest stored event number
   */
  async attach({ runId, config, parent }: Attach, link: TrainerLink): Promise<number> {
    await this.load();
    let run = this.#runs.get(runId) ?? (await this.create(config, parent, runId));
    if (hasEnded(run.state)) {
      const { events } = await this.store.controlEvents(runId);
      if (!wasLost(run.state, events)) return run.lastSeq;
      run = this.#set({ ...run, state: stateFromEvents(events), reason: '', endedMs: null });
      await this.#write(runId);
    }
    this.#links.get(runId)?.close();
    this.#links.set(runId, link);
    this.#endGrace(runId);
    run = this.#set({ ...run, trainerConnected: true });
    this.emit('attached', run);
    for (const record of this.commands.open(runId)) this.#send(record);
    return run.lastSeq;
  }

  /** A trainer's connection is gone. */
  detach(runId: RunId, link: TrainerLink): void {
    if (this.#links.get(runId) !== link) return;
    this.#links.delete(runId);
    const run = this.#runs.get(runId);
    if (!run) return;
    this.#set({ ...run, trainerConnected: false });
    if (!hasEnded(run.state)) this.#startGrace(runId);
  }

  /**
   * Makes events durable, then lets them take effect: state, commands' ends, watchers.
   * @returns the highest stored event number
   * @throws SequenceGapError, StoreUnavailableError, Refusal
   */
  async append(runId: RunId, events: readonly TrainerEvent[]): Promise<number> {
    const known = await this.get(runId);
    if (hasEnded(known.state) && events.some((event) => event.seq > known.lastSeq))
      throw new Refusal('conflict', `The run ${runId} has ended (${known.state}); it takes no more events.`);
    if (events.slice(0, -1).some(isLastWord))
      throw new Refusal('invalid', 'An event follows the one that ends the run.');
    const { lastSeq, appended } = await this.store.append(runId, events);
    const control = appended.filter((event): event is ControlEvent => !isMetricEvent(event));
    let run = this.#runs.get(runId)!;
    run = {
      ...run,
      lastSeq: Math.max(run.lastSeq, lastSeq),
      lastStep: Math.max(run.lastStep, ...appended.map((e) => e.step)),
    };
    for (const event of control) run = afterEvent(run, event);
    this.#runs.set(runId, run);
    if (appended.length > 0) this.emit('events', runId, appended);
    if (control.length > 0) {
      this.#unwritten.add(runId);
      this.emit('run', run);
    }
    if (this.#unwritten.has(runId)) {
      // Commands first: a run that is written as ended has no open ones.
      await this.commands.closeFrom(control);
      if (hasEnded(run.state))
        await this.commands.failOpen(runId, `The run ended (${run.state}) before it took effect.`);
      await this.#write(runId);
    }
    return lastSeq;
  }

  /** The trainer will not come back: its run has failed. */
  async trainerLost(runId: RunId, reason: string): Promise<void> {
    const run = this.#runs.get(runId);
    if (!run || hasEnded(run.state)) return;
    this.#endGrace(runId);
    this.#set({
      ...run,
      state: nextState(run.state, 'trainer_lost'),
      reason,
      endedMs: Date.now(),
      trainerConnected: false,
    });
    await this.commands.failOpen(runId, reason);
    await this.#write(runId);
  }

  /** Checks a command, writes it down, sends it on. The same id again gives the first one's record. */
  async command(command: Command, author: string): Promise<CommandRecord> {
    const run = await this.get(command.runId);
    const known = await this.commands.find(command.commandId);
    if (known) return known;
    const rejection =
      refusalReason(command.action.kind, this.#expectedState(run)) ?? (await this.#missingCheckpoint(command));
    const record = await this.commands.add(withBranch(command, run), author, rejection);
    if (record.state === 'pending') this.#send(record);
    return record;
  }

  /** @throws Refusal when the run has no such checkpoint */
  async checkpoint(runId: RunId, checkpointId: string): Promise<Extract<ControlEvent, { type: 'checkpoint_saved' }>> {
    await this.get(runId);
    const { events } = await this.store.controlEvents(runId);
    const found = events.find((event) => event.type === 'checkpoint_saved' && event.checkpointId === checkpointId);
    if (found?.type !== 'checkpoint_saved')
      throw new Refusal('not_found', `The run ${runId} has no checkpoint ${checkpointId}.`);
    return found;
  }

  close(): void {
    for (const timer of this.#graces.values()) clearTimeout(timer);
    this.commands.close();
  }

  async #load(): Promise<void> {
    for (const stored of await this.store.runs()) {
      let run: RunSummary = { ...stored, trainerConnected: false };
      if (!hasEnded(run.state)) {
        // The hub may have died between storing events and writing what follows from them.
        const { events } = await this.store.controlEvents(run.runId);
        await this.commands.load(run.runId, events);
        run = events.reduce(afterEvent, { ...run, state: 'created' });
        if (hasEnded(run.state))
          await this.commands.failOpen(run.runId, `The run ended (${run.state}) before it took effect.`);
      }
      this.#runs.set(run.runId, run);
      if (!hasEnded(run.state)) this.#startGrace(run.runId);
      else if (!hasEnded(stored.state)) await this.#write(run.runId);
    }
  }

  #set(run: RunSummary): RunSummary {
    this.#runs.set(run.runId, run);
    this.emit('run', run);
    return run;
  }

  async #write(runId: RunId): Promise<void> {
    this.#unwritten.add(runId);
    const { trainerConnected: _c, lastSeq: _s, lastStep: _t, ...stored } = this.#runs.get(runId)!;
    await this.store.updateRun(stored);
    this.#unwritten.delete(runId);
  }

  #send(record: CommandRecord): void {
    const { commandId, runId, action } = record;
    // A send that fails is tried again when the trainer attaches anew; until then the command is open or expires.
    this.#links
      .get(runId)
      ?.send({ commandId, runId, action })
      .then(() => this.commands.confirm(commandId))
      .catch(this.options.onError);
  }

  /** The state the run will be in once its open commands are done: resuming right after pausing is no mistake. */
  #expectedState(run: RunSummary): RunState {
    return this.commands.open(run.runId).reduce<RunState>((state, { action }) => {
      if (action.kind === 'pause' && !hasEnded(state)) return 'paused';
      if (action.kind === 'resume' && state === 'paused') return 'running';
      return state;
    }, run.state);
  }

  async #missingCheckpoint({ runId, action }: Command): Promise<string | null> {
    if (action.kind !== 'restore_checkpoint') return null;
    try {
      await this.checkpoint(runId, action.checkpointId);
      return null;
    } catch (error) {
      if (error instanceof Refusal) return error.message;
      throw error;
    }
  }

  #startGrace(runId: RunId): void {
    const { trainerGraceMs, onError } = this.options;
    const giveUp = () => {
      // A living process that is busy will connect again; its exit would tell of its death.
      if (this.livingProcesses.has(runId)) return;
      void this.trainerLost(
        runId,
        `The trainer was lost: it did not connect again within ${trainerGraceMs / 1000} s.`,
      ).catch(onError);
    };
    this.#endGrace(runId);
    this.#graces.set(runId, setTimeout(giveUp, trainerGraceMs).unref());
  }

  #endGrace(runId: RunId): void {
    clearTimeout(this.#graces.get(runId));
    this.#graces.delete(runId);
  }
}

/** A branch needs a run id before the trainer opens it, so that command and branch know each other. */
function withBranch(command: Command, run: RunSummary): Command {
  const { action } = command;
  if (action.kind !== 'restore_checkpoint' || action.branchRunId) return command;
  return { ...command, action: { ...action, branchRunId: newRunId(run.config) } };
}
