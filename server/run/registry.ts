import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import type { CommandId, CommandRecord, GivenCommand } from '@plumbline/shared/command';
import type { RuleState } from '@plumbline/shared/rule';
import type { RunId, RunParent, RunSummary } from '@plumbline/shared/run';
import type { RunDescription } from '@plumbline/shared/run-description';
import type { DeletedRun } from '@plumbline/shared/http';
import { stopOverdueMs } from '@plumbline/shared/taken-commands';
import type { Attach, Busy, WireError } from '@plumbline/shared/socket';
import { type CheckpointSaved, type TrainerEvent } from '@plumbline/shared/trainer-event';
import type { EventProblem, WireEvent } from '@plumbline/shared/wire-event';
import { isShared, type EventStore } from '../store/event-store.js';
import { Admission, noCheckpoint } from './admission.js';
import { singleHub, type Cluster, type DeletedOne } from './cluster.js';
import { CommandRouter } from './command-router.js';
import { storedCheckpoints } from './control-events.js';
import { DeletedIds } from './deleted-ids.js';
import { Deletions } from './deletions.js';
import { Drain } from './drain.js';
import type { Appended } from './event-intake.js';
import type { TrainerLink } from './liveness.js';
import { Parents } from './lineage.js';
import { Notifier } from './notifier.js';
import { RunOverviews } from './overview/run-overviews.js';
import { Refusal } from './refusal.js';
import { BacklogBudget } from './rules/rule-backlog.js';
import { RuleReplay } from './rules/rule-replay.js';
import { StoredRuleStates } from './rules/stored-rule-states.js';
import { newRunId } from './run-id.js';
import type { RunContext } from './run-context.js';
import { RunLoader } from './run-loader.js';
import { Run, type Attached } from './run.js';
import type { WebhookOptions } from './webhook.js';

export interface RunRegistryOptions {
  /** Where the folders of runs lie. */
  dataDir: string;
  trainerGraceMs: number;
  commandExpiryMs: number;
  /** See `stopOverdueMs` of the protocol, which it is by default. */
  stopOverdueMs?: number;
  /** Pause after the store could not be read or written; five seconds by default. */
  tryAgainMs?: number;
  webhooks: WebhookOptions;
  onError: (error: unknown) => void;
}

interface RunRegistryEvents {
  /** A run appeared or changed; what it was before, if it was there. */
  run: [run: RunSummary, before: RunSummary | undefined];
  /** A run was deleted, and by whom; null if another hub deleted it. */
  deleted: [DeletedOne, by: string | null];
  /** The leftover files of a run deleted earlier were removed from this hub's folders. */
  cleared: [RunId, bytes: number];
  /** Events of a run became durable. */
  events: [RunId, TrainerEvent[]];
  command: [CommandRecord];
  /** The rules of a run, or their states, changed. */
  rules: [RunId, RuleState[]];
  /** A trainer attached a run. */
  attached: [RunSummary];
  /** A person ended a run without its trainer. */
  endedByForce: [RunSummary];
  /** A batch of events was refused; null if its sender had attached no run. */
  refused: [RunId | null, WireError];
  /** An attach was refused; null if it names no run. */
  attachRefused: [RunId | null, WireError];
}

/** Creates, finds and forgets the owners of runs. Sockets listen to its events; REST and sockets call its methods. */
export class RunRegistry extends EventEmitter<RunRegistryEvents> {
  /** Refuses work when the hub is stopped. */
  readonly drain = new Drain();
  /** Runs whose trainer process is alive: only its exit ends them, not a lost connection. */
  readonly livingProcesses = new Set<RunId>();
  /** The overviews of runs for the list. */
  readonly overviews: RunOverviews;
  readonly #runs = new Map<RunId, Run>();
  readonly #context: RunContext;
  readonly #deletions: Deletions;
  readonly #storedRules: StoredRuleStates;
  readonly #commands: CommandRouter;
  readonly #loader: RunLoader;
  readonly #parents: Parents;
  readonly #closing = new AbortController();
  #isReachable = false;

  constructor(
    readonly store: EventStore,
    readonly options: RunRegistryOptions,
    readonly cluster: Cluster = singleHub,
  ) {
    super();
    const { onError, webhooks, dataDir } = options;
    const shared = isShared(store) ? store : null;
    const replay = new RuleReplay(store);
    const notifier = new Notifier(webhooks, this.#closing.signal, onError);
    this.#storedRules = new StoredRuleStates(replay);
    const find = (runId: RunId): RunSummary | null => this.find(runId);
    const owner = (runId: RunId): Run => this.#owner(runId);
    const owners = (): Iterable<Run> => this.#runs.values();
    this.overviews = new RunOverviews({ store, folder: join(dataDir, 'overviews'), find, onError });
    const { trainerGraceMs, commandExpiryMs, tryAgainMs = 5_000 } = options;
    const { drain, livingProcesses } = this;
    this.#context = {
      ...{
        store,
        shared,
        cluster,
        replay,
        drain,
        livingProcesses,
        trainerGraceMs,
        commandExpiryMs,
        tryAgainMs,
        onError,
      },
      backlogs: new BacklogBudget(),
      admission: new Admission(store, webhooks, options.stopOverdueMs ?? stopOverdueMs),
      deletedIds: new DeletedIds(),
      onIdle: (runId) => {
        if (this.#runs.get(runId)?.isVoid) this.#runs.delete(runId);
      },
      onChange: (told, before) => {
        this.overviews.run(told.run);
        this.emit('run', told.run, before);
        cluster.tell(told);
      },
      onEvents: (runId, events) => {
        this.overviews.events(runId, events);
        this.emit('events', runId, events);
      },
      onCommand: (record) => {
        this.overviews.command(record);
        this.emit('command', record);
      },
      onNotification: (record) => void notifier.carryOut(this.#owner(record.runId), record),
      onRules: (runId, states) => this.emit('rules', runId, states),
      onAttached: (run) => this.emit('attached', run),
      onEndedByForce: (run) => this.emit('endedByForce', run),
      onDeleted: (run) => this.#deletions.found(run),
      passOn: (records) => this.#commands.passOn(records),
      closing: this.#closing.signal,
    };
    this.#deletions = new Deletions({
      ...{ store, shared, cluster, dataDir, onError },
      summaries: () => this.known,
      ...{ find, owner },
      onDeleted: (run, by) => {
        this.overviews.deleted(run.runId);
        this.emit('deleted', { runId: run.runId, createdMs: run.createdMs }, by);
      },
      onCleared: (runId, bytes) => this.emit('cleared', runId, bytes),
    });
    this.#parents = new Parents({ store, cluster, owner, find });
    this.#commands = new CommandRouter({ store, drain, owners, onError, run: (runId) => this.#run(runId) });
    this.#loader = new RunLoader({
      ...{ store, shared, cluster, owner, owners, onError, closing: this.#closing.signal },
      find: (runId) => this.#runs.get(runId),
      passOn: (records) => this.#commands.passOn(records),
      finishDeletions: () => this.#deletions.finish(),
      onLoaded: () => this.#expectTrainers(),
    });
    const quietly = (work: Promise<unknown>): void => void work.catch(onError);
    cluster.start({
      onRun: (told) => quietly(this.#owner(told.run.runId).lease.mirror(told)),
      onDeleted: (run) => quietly(this.#deletions.heard(run)),
      onProgress: (progress) => progress.forEach((one) => quietly(this.#owner(one.runId).lease.mirrorProgress(one))),
      onTaken: (runId) => quietly(this.#owner(runId).letGo()),
      onOrphaned: (runIds) => runIds.forEach((runId) => quietly(this.#owner(runId).lease.adopt())),
      command: (command, author) => this.command(command, author),
      trainerLost: (runId, reason) => this.trainerLost(runId, reason),
      held: () =>
        // Includes ended runs with open notifications.
        [...this.#runs.values()].flatMap(({ runId, summary, core: { record, commands, liveness } }) => {
          if (!summary || !(record.isHeld || commands.open.length > 0)) return [];
          const { lastSeq, lastStep } = summary;
          return { runId, connected: liveness.link !== null, progress: { runId, lastSeq, lastStep } };
        }),
    });
  }

  /** Reads all runs once. Every method calls it, so that a store that was down at the start is tried again. */
  load(): Promise<void> {
    return this.#loader.load();
  }

  /** The hub listens, so that trainers can connect: starts the grace periods of absent trainers. */
  awaitTrainers(): void {
    this.#isReachable = true;
    this.#expectTrainers();
  }

  #expectTrainers(): void {
    if (!this.#isReachable) return;
    for (const run of this.#runs.values()) void run.core.post(() => run.core.expectTrainer());
  }

  /** The number of run ids in memory. */
  get keptIds(): number {
    return this.#runs.size;
  }

  /**
   * The owner of a run id, whether the run exists or not. The owner of a missing run is forgotten once its mailbox is empty,
   * so look it up again after each wait.
   */
  #owner(runId: RunId): Run {
    const known = this.#runs.get(runId);
    if (known) return known;
    const run = new Run(runId, this.#context);
    this.#runs.set(runId, run);
    return run;
  }

  /** The owner of an existing run. @throws Refusal `not_found` */
  async #run(runId: RunId): Promise<Run> {
    await this.load();
    const run = this.#runs.get(runId);
    if (!run?.summary) throw new Refusal('not_found', `There is no run ${runId}.`);
    return run;
  }

  /** Newest first. */
  async list(): Promise<RunSummary[]> {
    await this.load();
    return this.known.sort((a, b) => b.createdMs - a.createdMs);
  }

  /** The runs read so far, without a read of the store. */
  get known(): RunSummary[] {
    return [...this.#runs.values()].flatMap(({ summary }) => summary ?? []);
  }

  /** A run, if it has been read so far, without a read of the store. */
  find(runId: RunId): RunSummary | null {
    return this.#runs.get(runId)?.summary ?? null;
  }

  /** @throws Refusal `not_found` */
  async get(runId: RunId): Promise<RunSummary> {
    return (await this.#run(runId)).summary!;
  }

  /**
   * The states of a run's rules.
   * @param reader ends the read
   * @throws Refusal `not_found`, or `draining` while the run is being deleted
   */
  async ruleStates(runId: RunId, reader?: AbortSignal): Promise<RuleState[]> {
    const run = await this.#run(runId);
    const { rules, summary } = run.core;
    return rules.states ?? run.whole((signal) => this.#storedRules.of(summary!, signal), reader);
  }

  /**
   * Makes a run for a trainer that the hub starts.
   * @param secret the trainer's
   * @throws Refusal `draining`, `invalid` for rules that this hub cannot carry out, or `not_found` for its parent
   */
  async create(description: RunDescription, parent: RunParent | null, secret?: string): Promise<RunSummary> {
    this.drain.refuseNewWork();
    this.#context.admission.refuseRules(description);
    await this.load();
    const runId = newRunId(description);
    const release = parent ? await this.#parents.hold(runId, parent) : () => undefined;
    try {
      return await this.#owner(runId).create(description, parent, secret);
    } finally {
      release();
    }
  }

  /**
   * Reads a whole run. Its deletion at this hub waits for that, and aborts the signal.
   * @param read must end its work when the signal is aborted
   * @param reader ends the read too
   * @throws Refusal `not_found`, or `draining` while it is being deleted
   */
  async whole<T>(runId: RunId, read: (signal: AbortSignal) => Promise<T>, reader?: AbortSignal): Promise<T> {
    return (await this.#run(runId)).whole(read, reader);
  }

  /**
   * Deletes a run that has ended, for good.
   * @param by the user, for the log
   * @throws Refusal `draining`, `not_found`, `conflict`; see Deletions
   */
  delete(runId: RunId, by: string): Promise<DeletedRun> {
    return this.drain.work(async () => {
      this.drain.refuseNewWork();
      return this.#deletions.delete(await this.#run(runId), by);
    });
  }

  /**
   * A trainer attaches a run: its own, one that the hub created, or one that it lost the connection of.
   * The newest connection of a run holds it, and only its messages are taken. The trainer of an ended run may repeat what is
   * stored, and nothing new. After a failed attach the connection that held the run still holds it, and a grace period
   * that runs is not prolonged. A refused trainer changes nothing else, but a run fails if the store has lost events that the
   * trainer was told are stored. If the store fails on the way, this hub may have taken the run up: a lost run is running
   * again, and commands that the trainer does not take have failed. The next attach goes on from there.
   * @returns the highest stored event number
   * @throws Refusal `draining`, except for a built-in trainer, which was told to stop and brings its last word;
   *   `conflict` for another run under this id (other description or parent), for the rest of a deleted run, and for a run
   *   that a person ended without its trainer; `forbidden` for another trainer; `not_found` or `invalid` for a missing parent
   *   or checkpoint
   */
  async attach(attach: Attach, link: TrainerLink): Promise<Attached> {
    const { runId, parent } = attach;
    const { livingProcesses } = this;
    const isBuiltIn = livingProcesses.has(runId) || (parent !== null && livingProcesses.has(parent.runId));
    if (!isBuiltIn) this.drain.refuseNewWork();
    await this.load();
    const isNew = parent !== null && !this.find(runId) && !(await this.#owner(runId).lookUp());
    const release = isNew ? await this.#parents.hold(runId, parent) : () => undefined;
    try {
      return await this.#owner(runId).attach(attach, link);
    } finally {
      release();
    }
  }

  /** A trainer announces a silence; see Busy. @throws Refusal for a connection that does not hold the run */
  async busy(runId: RunId, link: TrainerLink, busy: Busy): Promise<void> {
    await (await this.#run(runId)).busy(link, busy);
  }

  /** A trainer's connection is gone. */
  detach(runId: RunId, link: TrainerLink): void {
    void this.#runs.get(runId)?.detach(link).catch(this.options.onError);
  }

  /**
   * Makes events durable, then applies them: state, ends of commands, watchers.
   * @param link the connection that sent them
   * @param problems the omissions from the events so far
   * @returns the highest stored event number, and all omissions
   * @throws SequenceGapError, StoreUnavailableError, Refusal; `conflict` with `retry` for a connection that does not hold
   *   the run
   */
  append(
    runId: RunId,
    link: TrainerLink,
    events: readonly WireEvent[],
    problems: readonly EventProblem[] = [],
  ): Promise<Appended> {
    return this.drain.work(async () =>
      (this.#runs.get(runId) ?? (await this.#run(runId))).append({ link, events, problems }),
    );
  }

  /** Reports a refused batch; null if its sender had attached no run. The run's page shows it if trying again is no use. */
  refused(runId: RunId | null, error: WireError): void {
    this.emit('refused', runId, error);
    const isFault = error.code === 'invalid' || error.code === 'too_large';
    if (runId && isFault) void this.#runs.get(runId)?.refused(error.message).catch(this.options.onError);
  }

  /** The trainer will not come back: its run has failed. */
  async trainerLost(runId: RunId, reason: string): Promise<void> {
    await this.#runs.get(runId)?.lost(reason);
  }

  /** Checks a command, records it and sends it to the trainer. A repeated id returns the first record. */
  command(command: GivenCommand, author: string): Promise<CommandRecord> {
    return this.#commands.give(command, author);
  }

  /** The record of a command, or null. */
  findCommand(commandId: CommandId): Promise<CommandRecord | null> {
    return this.#commands.find(commandId);
  }

  get openCommands(): number {
    return this.#commands.open;
  }

  /**
   * The checkpoints that the run can restore, in the order of saving.
   * @param reader ends the read
   * @throws Refusal `not_found`, or `draining` while the run is being deleted
   */
  async checkpoints(runId: RunId, reader?: AbortSignal): Promise<CheckpointSaved[]> {
    return this.whole(runId, (signal) => storedCheckpoints(this.store, runId, signal), reader);
  }

  /** @throws Refusal if the run has no such checkpoint */
  async checkpoint(runId: RunId, checkpointId: string): Promise<CheckpointSaved> {
    const found = (await this.checkpoints(runId)).find((event) => event.checkpointId === checkpointId);
    if (!found) throw new Refusal('not_found', noCheckpoint(runId, checkpointId));
    return found;
  }

  close(): void {
    this.#closing.abort();
    this.#deletions.close();
    this.overviews.close();
    for (const run of this.#runs.values()) run.close();
    void this.cluster.close().catch(this.options.onError);
  }
}
