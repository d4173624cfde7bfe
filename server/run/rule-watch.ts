import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandId, type CommandRecord, type GivenAction, type GivenCommand } from '@plumbline/shared/command';
import { fromWireNumber, toWireNumber } from '@plumbline/shared/metric';
import { ruleAuthor, type RuleAction, type RuleState } from '@plumbline/shared/rule';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import { isMetricEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import { everyPoint, type EventStore } from '../store/event-store.js';
import { RuleMachine, type Firing } from './rule-machine.js';

/** What was acknowledged may still be on its way to where history is read from: so often, and so long, it is waited for. */
const readTries = 5;
const readAgainMs = 1_000;
/** Pause after the store could not be read or written. */
const tryAgainMs = 5_000;
/** Events that wait for the store to be readable; older ones are read from it, or count as missing. */
const maxBacklog = 20_000;

export interface RuleWatchParts {
  store: EventStore;
  /** Gives a command as a person's is given; the same id again does nothing. */
  give: (command: GivenCommand, author: string) => Promise<CommandRecord>;
  onStates: (runId: RunId, states: RuleState[]) => void;
  onError: (error: unknown) => void;
}

interface RuleCommand {
  command: GivenCommand;
  author: string;
}

/** A run whose rules are evaluated here. */
interface Watched {
  /** Null until what is stored of the run has been evaluated. */
  machine: RuleMachine | null;
  /** Up to which event number the machine has seen. */
  seenSeq: number;
  /** Durable events that the machine has not seen. */
  backlog: TrainerEvent[];
  /** Commands of firings, in order, that have not been written down yet. */
  owed: RuleCommand[];
  /** Authors of those that could not be given the last time. */
  failing: ReadonlySet<string>;
  /** The work on it, one after another. */
  work: Promise<void>;
  retry: NodeJS.Timeout | undefined;
}

/**
 * Evaluates the rules of the runs that this hub holds on their durable events, and gives the commands that follow. Which
 * commands have been given is told by the command log alone: a command's id follows from the run, the rule and the value
 * that made it fire. So after a restart or at another hub the same stored values lead to the same ids, what was given
 * is not given again, and what a crash kept from being given is.
 */
export class RuleWatch {
  readonly #watched = new Map<RunId, Watched>();
  #closed = false;

  constructor(readonly parts: RuleWatchParts) {}

  /** Takes up a run, with new events of it that have just become durable. */
  take(run: RunSummary, events: readonly TrainerEvent[] = []): void {
    if (!hasRules(run)) return;
    const watched = this.#watched.get(run.runId) ?? this.#begin(run.runId);
    watched.backlog.push(...events);
    if (watched.machine === null) watched.backlog.splice(0, watched.backlog.length - maxBacklog);
    this.#schedule(run, watched);
  }

  /**
   * Resolves when all that was taken of the run has been evaluated and what follows is written down.
   * @throws what kept it from that; it is tried again all the same
   */
  async settled(run: RunSummary): Promise<void> {
    const watched = this.#watched.get(run.runId);
    if (!watched) return;
    const work = watched.work.then(() => (isDone(watched) ? undefined : this.#work(run, watched)));
    watched.work = work.catch(() => undefined);
    await work;
  }

  /** The run has ended, or is another hub's. */
  forget(runId: RunId): void {
    clearTimeout(this.#watched.get(runId)?.retry);
    this.#watched.delete(runId);
  }

  /** Where the rules of a run stand; of one that is not evaluated here, as of what is stored. */
  async states(run: RunSummary): Promise<RuleState[]> {
    const machine = this.#watched.get(run.runId)?.machine;
    if (machine) return machine.states;
    if (!hasRules(run)) return [];
    return (await this.#replay(run)).machine.states;
  }

  close(): void {
    this.#closed = true;
    for (const runId of [...this.#watched.keys()]) this.forget(runId);
  }

  #begin(runId: RunId): Watched {
    const watched: Watched = {
      ...{ machine: null, seenSeq: 0, backlog: [], owed: [], failing: new Set(), retry: undefined },
      work: Promise.resolve(),
    };
    this.#watched.set(runId, watched);
    return watched;
  }

  #schedule(run: RunSummary, watched: Watched): void {
    watched.work = watched.work
      .then(() => this.#work(run, watched))
      .catch((error: unknown) => {
        if (this.#closed || this.#watched.get(run.runId) !== watched) return;
        this.parts.onError(error);
        clearTimeout(watched.retry);
        watched.retry = setTimeout(() => this.#schedule(run, watched), tryAgainMs).unref();
      });
  }

  async #work(run: RunSummary, watched: Watched): Promise<void> {
    if (watched.machine === null) await this.#catchUp(run, watched);
    const before = watched.machine!.states;
    const events = watched.backlog;
    watched.backlog = [];
    for (const event of events) {
      if (event.seq <= watched.seenSeq) continue;
      // Another hub had the run in between, or a part of it was not to be read: what the rules made of it is not known.
      if (event.seq > watched.seenSeq + 1) watched.machine!.missed();
      watched.seenSeq = event.seq;
      watched.owed.push(...evaluate(watched.machine!, event).flatMap((firing) => commandsOf(run.runId, firing)));
    }
    const after = watched.machine!.states;
    if (JSON.stringify(before) !== JSON.stringify(after)) this.parts.onStates(run.runId, after);
    await this.#giveOwed(watched);
  }

  /**
   * Gives what is owed, each rule's in its order. A rule whose command cannot be given now, such as one that has to read
   * from a store that is away, keeps no other from acting.
   * @throws the first failure, after all others have been given
   */
  async #giveOwed(watched: Watched): Promise<void> {
    const { failing, owed } = watched;
    // Those that failed come last: they may take long to fail again.
    const turns = [...owed].sort((a, b) => Number(failing.has(a.author)) - Number(failing.has(b.author)));
    const failures = new Map<string, unknown>();
    for (const next of turns) {
      if (failures.has(next.author)) continue;
      try {
        await this.parts.give(next.command, next.author);
        owed.splice(owed.indexOf(next), 1);
      } catch (error) {
        failures.set(next.author, error);
      }
    }
    watched.failing = new Set(failures.keys());
    for (const failure of failures.values()) throw failure;
  }

  /** Evaluates what is stored, and finds out which of the commands that follow from it have been given. */
  async #catchUp(run: RunSummary, watched: Watched): Promise<void> {
    let read = await this.#replay(run);
    const wanted = (): number => watched.backlog[0]?.seq ?? run.lastSeq + 1;
    for (let tries = 1; read.lastSeq + 1 < wanted() && tries < readTries && !this.#closed; tries++) {
      await sleep(readAgainMs, undefined, { ref: false });
      read = await this.#replay(run);
    }
    const given = await this.parts.store.commands(run.runId);
    watched.owed.push(...ungiven(run, read.firings, given));
    watched.machine = read.machine;
    watched.seenSeq = read.lastSeq;
    // What was acknowledged and cannot be read, e.g. because it lies on the disk of a hub that is gone.
    if (read.lastSeq + 1 < wanted()) {
      read.machine.missed();
      watched.seenSeq = wanted() - 1;
    }
    this.parts.onStates(run.runId, read.machine.states);
  }

  async #replay({ runId, config }: RunSummary): Promise<{ machine: RuleMachine; firings: Firing[]; lastSeq: number }> {
    const { store } = this.parts;
    const machine = new RuleMachine(config.rules);
    const { events } = await store.controlEvents(runId);
    for (const event of events) if (event.type === 'run_started') machine.baseline(event.baseline);
    const { lastSeq, series } = await store.history(runId, { metrics: machine.metrics, maxPoints: everyPoint });
    const firings: Firing[] = [];
    for (const [metric, { seqs, steps, values }] of series)
      for (let i = 0; i < seqs.length; i++)
        firings.push(...machine.take(metric, { seq: seqs[i]!, step: steps[i]!, value: values[i]! }));
    return { machine, firings: firings.sort((a, b) => a.seq - b.seq), lastSeq };
  }
}

/** Runs that were stored before there were rules have no list of them. */
const hasRules = ({ config }: RunSummary): boolean => (config.rules ?? []).length > 0;

const isDone = ({ machine, backlog, owed }: Watched): boolean =>
  machine !== null && backlog.length === 0 && owed.length === 0;

function evaluate(machine: RuleMachine, event: TrainerEvent): Firing[] {
  if (event.type === 'run_started') machine.baseline(event.baseline);
  if (!isMetricEvent(event)) return [];
  const { seq, step } = event;
  return Object.entries(event.metrics).flatMap(([metric, value]) =>
    machine.take(metric, { seq, step, value: fromWireNumber(value) }),
  );
}

/** The commands that follow from a firing, in the order of the rule's actions. */
function commandsOf(runId: RunId, firing: Firing): RuleCommand[] {
  const { rule, seq, cause } = firing;
  return rule.actions.map((action, index) => ({
    author: ruleAuthor(rule.name),
    command: { commandId: ruleCommandId(runId, rule.name, seq, index), runId, action: asked(action, firing), cause },
  }));
}

/** The same for the same value of the same run, whichever hub evaluates it and however often. */
export function ruleCommandId(runId: RunId, rule: string, seq: number, actionIndex: number): CommandId {
  const of = JSON.stringify([runId, rule, seq, actionIndex]);
  return CommandId.parse(`rule-${createHash('sha256').update(of).digest('base64url')}`);
}

function asked(action: RuleAction, { rule, step, value }: Firing): GivenAction {
  if (action.kind !== 'notify') return action;
  const { name, metric } = rule;
  return { ...action, rule: name, metric, step, value: toWireNumber(value), firedMs: Date.now() };
}

/**
 * The commands of these firings that have not been given. They are given in order, so that of each rule only those after
 * the last one given can be missing. Where a rule has given a command that does not follow from these values, values are
 * missing that it was given on; then nothing tells what has been given, and nothing is.
 */
function ungiven(run: RunSummary, firings: readonly Firing[], given: readonly CommandRecord[]): RuleCommand[] {
  const all = firings.flatMap((firing) => commandsOf(run.runId, firing));
  const ids = new Set(all.map(({ command }) => command.commandId));
  const givenIds = new Set(given.map(({ commandId }) => commandId));
  return run.config.rules.flatMap(({ name }) => {
    const author = ruleAuthor(name);
    if (given.some((record) => record.author === author && !ids.has(record.commandId))) return [];
    const own = all.filter((command) => command.author === author);
    return own.slice(own.findLastIndex(({ command }) => givenIds.has(command.commandId)) + 1);
  });
}
