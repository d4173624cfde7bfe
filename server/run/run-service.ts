import { EventEmitter } from 'node:events';
import type { CommandRecord, GivenCommand } from '@plumbline/shared/command';
import type { RuleState } from '@plumbline/shared/rule';
import { hasEnded, type RunId, type RunConfig, type RunParent, type RunSummary } from '@plumbline/shared/run';
import type { DeletedRun } from '@plumbline/shared/http';
import type { Attach, WireError } from '@plumbline/shared/socket';
import {
  checkpointsOf,
  isMetricEvent,
  orderFault,
  type CheckpointSaved,
  type ControlEvent,
  type TrainerEvent,
} from '@plumbline/shared/trainer-event';
import type { EventStore, StoredRun } from '../store/event-store.js';
import { Admission, noCheckpoint } from './admission.js';
import { CommandIntake } from './command-intake.js';
import { CommandLog } from './command-log.js';
import { Drain } from './drain.js';
import { Refusal } from './refusal.js';
import { Notifier } from './notifier.js';
import { alone, type DeletedOne, type Peers } from './peers.js';
import { RuleWatch } from './rule-watch.js';
import { RunDeletion } from './run-deletion.js';
import { RunEnding } from './run-ending.js';
import { RunHolding } from './run-holding.js';
import { newRunId } from './run-id.js';
import { afterEvent } from './run-state.js';
import { RunTable } from './run-table.js';
import { RunWork } from './run-work.js';
import { TrainerAttendance } from './trainer-attendance.js';
import { TrainerLinks, type TrainerLink } from './trainer-links.js';
import type { WebhookOptions } from './webhook.js';

export interface RunServiceOptions {
  /** Where the folders of runs lie. */
  dataDir: string;
  trainerGraceMs: number;
  commandExpiryMs: number;
  webhooks: WebhookOptions;
  onError: (error: unknown) => void;
}

interface RunServiceEvents {
  /** A run appeared or changed; what it was before, if it was there. */
  run: [run: RunSummary, before: RunSummary | undefined];
  /** A run is no more; who deleted it, or null where another hub did. */
  deleted: [DeletedOne, by: string | null];
  /** What a run that was deleted earlier had left in this hub's folders is removed. */
  cleared: [RunId, bytes: number];
  /** Events of a run became durable. */
  events: [RunId, TrainerEvent[]];
  command: [CommandRecord];
  /** The rules of a run are others, or stand differently. */
  rules: [RunId, RuleState[]];
  /** A trainer took up a run. */
  attached: [RunSummary];
  /** A batch of events was not taken; `null` when its sender had attached no run. */
  refused: [RunId | null, WireError];
}

/** All that happens to runs: whoever watches (sockets) listens, whoever acts (REST, sockets, supervisor) calls. */
export class RunService extends EventEmitter<RunServiceEvents> {
  readonly commands: CommandLog;
  /** Ends the taking of new work when the hub is stopped. */
  readonly drain = new Drain();
  /** Runs whose trainer's process is known to live: their end is told by its exit, not by a lost connection. */
  readonly livingProcesses = new Set<RunId>();
  readonly #table: RunTable;
  readonly #work: RunWork;
  readonly #links: TrainerLinks;
  readonly #holding: RunHolding;
  readonly #ending: RunEnding;
  readonly #deletion: RunDeletion;
  readonly #admission: Admission;
  readonly #intake: CommandIntake;
  readonly #attendance: TrainerAttendance;
  readonly #notifier: Notifier;
  readonly #rules: RuleWatch;
  #loading: Promise<void> | null = null;
  readonly #closing = new AbortController();

  constructor(
    readonly store: EventStore,
    readonly options: RunServiceOptions,
    readonly peers: Peers = alone,
  ) {
    super();
    this.commands = new CommandLog(store, options.commandExpiryMs, options.onError);
    this.commands.on('record', (record) => this.emit('command', record));
    const { drain, commands, livingProcesses } = this;
    const work = (this.#work = new RunWork());
    const { onError, webhooks, dataDir, trainerGraceMs } = options;
    const table = (this.#table = new RunTable(store, (run, before) => {
      this.emit('run', run, before);
      peers.tell(run);
    }));
    const links = (this.#links = new TrainerLinks(trainerGraceMs, (runId) => this.#attendance.absent(runId)));
    const admission = (this.#admission = new Admission(store, webhooks));
    const notifier = (this.#notifier = new Notifier(webhooks, commands, peers, work, onError));
    const rules = (this.#rules = new RuleWatch({
      ...{ store, log: commands, hasPeers: peers !== alone },
      give: (command, author) => this.#intake.take(table.get(command.runId)!, command, author),
      onStates: (runId, states) => this.emit('rules', runId, states),
      onError,
    }));
    const parts = { store, peers, table, work, links, commands, admission, rules, drain, livingProcesses, onError };
    const intake = (this.#intake = new CommandIntake(parts));
    const ending = (this.#ending = new RunEnding(parts));
    const give = (command: GivenCommand, author: string) => this.command(command, author);
    const deletion = (this.#deletion = new RunDeletion({
      ...{ ...parts, ending, dataDir },
      onDeleted: (run, by) => this.emit('deleted', run, by),
      onCleared: (runId, bytes) => this.emit('cleared', runId, bytes),
    }));
    const holding = (this.#holding = new RunHolding({ ...parts, ending, notifier, deletion, give }));
    this.#attendance = new TrainerAttendance({
      ...{ ...parts, intake, holding, ending, deletion },
      load: () => this.load(),
      create: (config, parent, runId) => this.#create(config, parent, runId),
      onAttached: (run) => this.emit('attached', run),
    });
    peers.start({
      onRun: (run) => holding.mirror(run),
      onDeleted: (run) => void deletion.heard(run).catch(onError),
      onProgress: (progress) => progress.forEach((one) => holding.mirrorProgress(one)),
      onTaken: (runId) => holding.letGo(runId),
      onOrphaned: (runIds) => runIds.forEach((runId) => void holding.adopt(runId).catch(onError)),
      command: give,
      trainerLost: (runId, reason) => this.trainerLost(runId, reason),
      held: () =>
        // With those that have ended and of which something is still to be told.
        [...new Set([...table.held, ...commands.openRuns])].flatMap((runId) => {
          const run = table.get(runId);
          // Another hub has deleted it.
          if (!run) return [];
          const { lastSeq, lastStep } = run;
          return { runId, connected: links.get(runId) !== undefined, progress: { runId, lastSeq, lastStep } };
        }),
    });
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
    return this.#table.all.sort((a, b) => b.createdMs - a.createdMs);
  }

  /** The runs read so far, without asking the store: empty while it cannot be read. */
  get known(): RunSummary[] {
    return this.#table.all;
  }

  /** @throws Refusal `not_found` */
  async get(runId: RunId): Promise<RunSummary> {
    await this.load();
    const run = this.#table.get(runId);
    if (!run) throw new Refusal('not_found', `There is no run ${runId}.`);
    return run;
  }

  /** Where the rules of a run stand. @throws Refusal `not_found` */
  async ruleStates(runId: RunId): Promise<RuleState[]> {
    return this.#rules.states(await this.get(runId));
  }

  /** @throws Refusal `draining`, `invalid` for rules that this hub cannot carry out, or `not_found` for its parent */
  async create(config: RunConfig, parent: RunParent | null): Promise<RunSummary> {
    this.drain.refuseNewWork();
    this.#admission.refuseRules(config);
    if (!parent) return this.#create(config, null, newRunId(config));
    await this.get(parent.runId);
    return this.#work.on(parent.runId, () => this.#create(config, parent, newRunId(config)));
  }

  /**
   * Reads all of a run, which is not deleted meanwhile at this hub.
   * @throws Refusal `not_found`, or `draining` while it is being deleted
   */
  async whole<T>(runId: RunId, read: () => Promise<T>): Promise<T> {
    await this.get(runId);
    return this.#work.on(runId, read);
  }

  /**
   * Deletes a run that has ended, for good.
   * @param by who does, for the log
   * @throws Refusal `draining`, `not_found`, `conflict`; see RunDeletion
   */
  delete(runId: RunId, by: string): Promise<DeletedRun> {
    return this.drain.work(async () => {
      this.drain.refuseNewWork();
      return this.#deletion.delete(await this.get(runId), by);
    });
  }

  async #create(config: RunConfig, parent: RunParent | null, runId: RunId): Promise<RunSummary> {
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
    await this.peers.claim(runId);
    this.#table.held.add(runId);
    return this.#table.set({ ...stored, trainerConnected: false, lastSeq: 0, lastStep: 0 });
  }

  /**
   * A trainer takes up a run: one it brings itself, one the hub made, or one it was torn from.
   * The newest connection of a run holds it. A run that has said its last word is only answered.
   * @returns the highest stored event number
   * @throws Refusal `draining`, but not for a built-in trainer: it has been told to stop and brings its last word;
   *   `conflict` for another run under this id, of another configuration or parent, and for the rest of one that was
   *   deleted; a trainer that has had nothing acknowledged of that begins a new run
   */
  attach(attach: Attach, link: TrainerLink): Promise<number> {
    return this.#attendance.attach(attach, link);
  }

  /** A trainer's connection is gone. */
  detach(runId: RunId, link: TrainerLink): void {
    this.#attendance.detach(runId, link);
  }

  /**
   * Makes events durable, then lets them take effect: state, commands' ends, watchers.
   * @returns the highest stored event number
   * @throws SequenceGapError, StoreUnavailableError, Refusal
   */
  append(runId: RunId, events: readonly TrainerEvent[]): Promise<number> {
    return this.drain.work(() => this.#work.on(runId, () => this.#append(runId, events)));
  }

  async #append(runId: RunId, events: readonly TrainerEvent[]): Promise<number> {
    const known = await this.get(runId);
    if (hasEnded(known.state) && events.some((event) => event.seq > known.lastSeq))
      throw new Refusal('conflict', `The run ${runId} has ended (${known.state}); it takes no more events.`);
    if (!hasEnded(known.state) && !this.#table.held.has(runId))
      throw new Refusal('conflict', `Another hub holds the run ${runId} now: its trainer connected there.`);
    const fault = orderFault(known, events);
    if (fault !== null) throw new Refusal('invalid', fault);
    const { lastSeq, appended } = await this.store.append(runId, events);
    const isControl = (event: TrainerEvent): event is ControlEvent => !isMetricEvent(event);
    const control = appended.filter(isControl);
    const before = this.#table.get(runId)!;
    let run: RunSummary = {
      ...before,
      lastSeq: Math.max(before.lastSeq, lastSeq),
      lastStep: Math.max(before.lastStep, ...appended.map((e) => e.step)),
    };
    for (const event of control) run = afterEvent(run, event);
    this.#table.put(run);
    if (appended.length > 0) {
      this.emit('events', runId, appended);
      this.#rules.take(run, appended);
    }
    if (control.length > 0) {
      this.#table.owe(runId);
      this.#table.onChange(run, before);
    }
    if (this.#table.owes(runId)) {
      // Commands first: a run that is written as ended has no open ones. The whole batch, because one that was stored
      // before without its commands being closed comes again.
      await this.commands.closeFrom(events.filter(isControl));
      if (hasEnded(run.state)) await this.#ending.end(this.#table.get(runId)!, true);
      else await this.#table.write(runId);
    }
    return lastSeq;
  }

  /** The trainer will not come back: its run has failed. */
  trainerLost(runId: RunId, reason: string): Promise<void> {
    return this.#attendance.lost(runId, reason);
  }

  /** Checks a command, writes it down, sends it on. The same id again gives the first one's record. */
  command(command: GivenCommand, author: string): Promise<CommandRecord> {
    return this.drain.work(async () => this.#intake.take(await this.get(command.runId), command, author));
  }

  /** Those that the run can go back to, in the order they were saved. @throws Refusal `not_found` */
  async checkpoints(runId: RunId): Promise<CheckpointSaved[]> {
    await this.get(runId);
    return checkpointsOf((await this.store.controlEvents(runId)).events);
  }

  /** @throws Refusal when the run has no such checkpoint */
  async checkpoint(runId: RunId, checkpointId: string): Promise<CheckpointSaved> {
    const found = (await this.checkpoints(runId)).find((event) => event.checkpointId === checkpointId);
    if (!found) throw new Refusal('not_found', noCheckpoint(runId, checkpointId));
    return found;
  }

  close(): void {
    this.#closing.abort();
    this.#links.close();
    this.#ending.close();
    this.#deletion.close();
    this.#rules.close();
    this.#notifier.close();
    this.commands.close();
    void this.peers.close().catch(this.options.onError);
  }

  async #load(): Promise<void> {
    const ended: Promise<void>[] = [];
    const undelivered = (await this.store.undelivered?.()) ?? [];
    for (const stored of await this.store.runs()) {
      // Another hub may have deleted it since the store was asked.
      if (this.#deletion.isGone(stored)) continue;
      let run: RunSummary = { ...stored, trainerConnected: false };
      if (!hasEnded(run.state) && !(await this.peers.claimIfFree(run.runId))) {
        // Another hub holds it, and tells of it.
        this.#table.put(run);
        continue;
      }
      if (!hasEnded(run.state)) {
        this.#table.held.add(run.runId);
        // The hub may have died between storing events and writing what follows from them.
        const { events } = await this.store.controlEvents(run.runId);
        await this.commands.load(run.runId, events);
        run = events.reduce(afterEvent, { ...run, state: 'created' });
        this.#table.put(run);
        this.#rules.take(run);
        if (hasEnded(run.state)) ended.push(this.#ending.end(run, true));
      }
      this.#table.put(run);
    }
    await Promise.all(ended);
    // Another hub may have given up what ended here before this one died.
    for (const runId of undelivered) {
      const run = this.#table.get(runId);
      if (run && hasEnded(run.state)) this.peers.tell(run);
    }
    // Given here before this hub died, and the run has gone elsewhere or has ended since: nobody else knows of them.
    for (const record of (await this.store.leftOver?.()) ?? [])
      if (!this.#table.held.has(record.runId)) this.#holding.passOn(record);
    const over = this.#table.all.filter(({ state }) => hasEnded(state)).map(({ runId }) => runId);
    void this.#notifier.takeUp(over).catch(this.options.onError);
    await this.#deletion.finish().catch(this.options.onError);
    void this.#holding.correctFailed(this.#closing.signal).catch(this.options.onError);
    this.#attendance.missAll();
  }

  /** The hub listens: trainers can connect from now on, so from now on those that do not are missed. */
  awaitTrainers(): void {
    this.#attendance.expect();
  }
}
