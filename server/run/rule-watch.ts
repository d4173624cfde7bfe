import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { CommandRecord, GivenCommand, SetRules } from '@plumbline/shared/command';
import { fromWireNumber } from '@plumbline/shared/metric';
import { ruleAuthor, type GuardRule, type RuleState } from '@plumbline/shared/rule';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import { isMetricEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../store/event-store.js';
import type { CommandLog } from './command-log.js';
import { Refusal } from './refusal.js';
import { commandsOf, ungiven, type RuleCommand } from './rule-commands.js';
import { RuleMachine, type Firing } from './rule-machine.js';
import { replayRules, rulesAtStart } from './rule-replay.js';
import { StoredRuleStates } from './stored-rule-states.js';

/** What was acknowledged may still be on its way to where history is read from: so often, and so long, it is waited for. */
const readTries = 5;
const readAgainMs = 1_000;
/** Pause after the store could not be read or written. */
const tryAgainMs = 5_000;
/** So long a change of rules may take to reach what the other hubs read; people wait for it, and the rules meanwhile. */
const reachMs = 2_000;
/** Events that wait for the store to be readable; older ones are read from it, or count as missing. */
const maxBacklog = 20_000;

export interface RuleWatchParts {
  store: EventStore;
  /** Whether other hubs on the same store may take a run up. */
  hasPeers: boolean;
  /** Where rules that are set are written down. */
  log: Pick<CommandLog, 'find' | 'add' | 'addApplied'>;
  /** Gives a command as a person's is given; the same id again does nothing. */
  give: (command: GivenCommand, author: string) => Promise<CommandRecord>;
  onStates: (runId: RunId, states: RuleState[]) => void;
  onError: (error: unknown) => void;
}

/** A run whose rules are evaluated here, if it has any at present. */
interface Watched {
  /** Null until what is stored of the run has been evaluated. */
  machine: RuleMachine | null;
  /** Up to which event the machine has seen: its number and its step. */
  seenSeq: number;
  seenStep: number;
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
  readonly #stored: StoredRuleStates;
  #closed = false;

  constructor(readonly parts: RuleWatchParts) {
    this.#stored = new StoredRuleStates(parts.store);
  }

  /** Takes up a run, with new events of it that have just become durable. */
  take(run: RunSummary, events: readonly TrainerEvent[] = []): void {
    const watched = this.#watched.get(run.runId) ?? this.#begin(run, events[0]?.seq === 1);
    watched.backlog.push(...events);
    if (watched.machine === null) watched.backlog.splice(0, watched.backlog.length - maxBacklog);
    this.#schedule(run, watched);
  }

  /**
   * Sets the rules of a run: those before judge all events up to one, these all after it, which its record in the
   * command log says; so whoever evaluates the same stored values finds the same. What rules that are no more have yet
   * to do is not done. The same command again does nothing.
   * @returns its record; nothing is changed where that is `rejected`, as others are in force than it is to replace, or
   *   `failed`, as another hub that took the run up could not find it
   * @throws Refusal `draining` when another hub has the run now or took it meanwhile; what keeps it from being written
   *   down: then what is stored tells which rules there are
   */
  async set(run: RunSummary, command: GivenCommand & { action: SetRules }, author: string): Promise<CommandRecord> {
    const watched = this.#watched.get(run.runId) ?? this.#begin(run, run.lastSeq === 0);
    const setting = watched.work.then(() => this.#set(run, watched, command, author));
    watched.work = setting.then(
      () => undefined,
      () => undefined,
    );
    return setting;
  }

  async #set(
    run: RunSummary,
    watched: Watched,
    command: GivenCommand & { action: SetRules },
    author: string,
  ): Promise<CommandRecord> {
    // It may have come twice, and the first be written by now.
    const known = await this.parts.log.find(command.commandId);
    if (known) return known;
    await this.#evaluate(run, watched);
    this.#refuseLost(run.runId, watched, 'Try again in a few seconds.');
    const machine = watched.machine!;
    const { hasPeers, log, onStates } = this.parts;
    const { replaces, ...action } = command.action;
    const { rules } = action;
    const given = { ...command, action };
    if (replaces && !isDeepStrictEqual(machine.rules, replaces))
      return log.add(given, author, await this.#changedMeanwhile(run.runId));
    const outcome = {
      ...{ step: watched.seenStep, afterSeq: watched.seenSeq, before: null },
      after: changesBetween(machine.rules, rules),
    };
    let record: CommandRecord;
    try {
      record = await log.addApplied(given, author, outcome, hasPeers ? reachMs : null);
    } catch (error) {
      // It may be in the log all the same: what is stored tells which rules there are, and what has been given.
      watched.machine = null;
      watched.owed = [];
      this.#schedule({ ...run, lastSeq: watched.seenSeq, lastStep: watched.seenStep }, watched);
      throw error;
    }
    // The other hub may have read what is stored before this was there.
    this.#refuseLost(run.runId, watched, 'See which rules it has, and set them again where they are others.');
    if (record.state !== 'applied') return record;
    const unchanged = new Set(rules.filter((rule) => machine.has(rule)).map(({ name }) => ruleAuthor(name)));
    watched.owed = watched.owed.filter((owed) => unchanged.has(owed.author));
    machine.set(rules);
    onStates(run.runId, machine.states);
    return record;
  }

  /** Why rules are not set that were made from others than those in force. */
  async #changedMeanwhile(runId: RunId): Promise<string> {
    const last = (await this.parts.store.commands(runId)).findLast(
      ({ action, state }) => action.kind === 'set_rules' && state === 'applied',
    );
    const by = last ? `, by ${last.author} at step ${last.step}` : '';
    return `The rules were changed meanwhile${by}: nothing is set. See those in force, and change these.`;
  }

  /** @throws Refusal `draining` when the run is not evaluated here any more */
  #refuseLost(runId: RunId, watched: Watched, whatToDo: string): void {
    if (this.#watched.get(runId) === watched) return;
    throw new Refusal('draining', `The run ${runId} has ended or gone to another hub. ${whatToDo}`);
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
    return this.#watched.get(run.runId)?.machine?.states ?? this.#stored.of(run);
  }

  close(): void {
    this.#closed = true;
    for (const runId of [...this.#watched.keys()]) this.forget(runId);
  }

  /** @param isNew nothing is stored of it yet: nothing has to be read */
  #begin(run: RunSummary, isNew: boolean): Watched {
    const watched: Watched = {
      machine: isNew && !run.parent?.goesOn ? new RuleMachine(rulesAtStart(run)) : null,
      ...{ seenSeq: 0, seenStep: 0, backlog: [], owed: [], failing: new Set(), retry: undefined },
      work: Promise.resolve(),
    };
    this.#watched.set(run.runId, watched);
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
    await this.#evaluate(run, watched);
    await this.#giveOwed(watched);
  }

  async #evaluate(run: RunSummary, watched: Watched): Promise<void> {
    if (watched.machine === null) await this.#catchUp(run, watched);
    const before = watched.machine!.states;
    const events = watched.backlog;
    watched.backlog = [];
    for (const event of events) {
      if (event.seq <= watched.seenSeq) continue;
      // Another hub had the run in between, or a part of it was not to be read: what the rules made of it is not known.
      if (event.seq > watched.seenSeq + 1) watched.machine!.missed();
      watched.seenSeq = event.seq;
      watched.seenStep = event.step;
      watched.owed.push(...evaluate(watched.machine!, event).flatMap((firing) => commandsOf(run.runId, firing)));
    }
    const after = watched.machine!.states;
    if (JSON.stringify(before) !== JSON.stringify(after)) this.parts.onStates(run.runId, after);
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
    const { store } = this.parts;
    let read = await replayRules(store, run);
    const wanted = (): number => watched.backlog[0]?.seq ?? run.lastSeq + 1;
    const isShort = (): boolean => !read.hasBeginning || (read.isWatched && read.lastSeq + 1 < wanted());
    for (let tries = 1; isShort() && tries < readTries && !this.#closed; tries++) {
      await sleep(readAgainMs, undefined, { ref: false });
      read = await replayRules(store, run);
    }
    // More may be stored by now than was known of the run when this began.
    const [last] = read.lastSeq > run.lastSeq ? await store.events(run.runId, read.lastSeq, 1) : [];
    watched.owed.push(...ungiven(run.runId, read, await store.commands(run.runId)));
    watched.machine = read.machine;
    watched.seenSeq = read.lastSeq;
    watched.seenStep = last?.step ?? run.lastStep;
    // What was acknowledged and cannot be read, e.g. because it lies on the disk of a hub that is gone.
    if (read.lastSeq + 1 < wanted()) {
      read.machine.missed();
      watched.seenSeq = wanted() - 1;
    }
    this.parts.onStates(run.runId, read.machine.states);
  }
}

const isDone = ({ machine, backlog, owed }: Watched): boolean =>
  machine !== null && backlog.length === 0 && owed.length === 0;

/** The names of rules that are other than before; of what there is nothing it says nothing. */
function changesBetween(before: readonly GuardRule[], after: readonly GuardRule[]): Record<string, string> {
  const named = (rules: readonly GuardRule[], name: string) => rules.find((rule) => rule.name === name);
  const changes = {
    added: after.filter(({ name }) => !named(before, name)),
    changed: after.filter((rule) => named(before, rule.name) && !isDeepStrictEqual(named(before, rule.name), rule)),
    removed: before.filter(({ name }) => !named(after, name)),
  };
  return Object.fromEntries(
    Object.entries(changes).flatMap(([what, rules]) =>
      rules.length > 0 ? [[what, rules.map(({ name }) => name).join(', ')]] : [],
    ),
  );
}

function evaluate(machine: RuleMachine, event: TrainerEvent): Firing[] {
  if (event.type === 'run_started') machine.baseline(event.baseline);
  if (!isMetricEvent(event) || machine.isIdle) return [];
  const { seq, step } = event;
  return Object.entries(event.metrics).flatMap(([metric, value]) =>
    machine.take(metric, { seq, step, value: fromWireNumber(value) }),
  );
}
