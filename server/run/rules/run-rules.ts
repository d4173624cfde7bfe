import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { CommandRecord, GivenCommand, SetRules } from '@plumbline/shared/command';
import { fromWireNumber } from '@plumbline/shared/metric';
import { ruleAuthor, type GuardRule, type RuleState } from '@plumbline/shared/rule';
import type { RunSummary } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import type { EventStore, SharedStore } from '../../store/event-store.js';
import type { CommandLog } from '../command-log.js';
import { Refusal } from '../refusal.js';
import { refuseOtherUse } from '../repeated-command.js';
import { RuleBacklog, type BacklogBudget, type RuleEvent } from './rule-backlog.js';
import { commandsOf, UngivenCommands, type RuleCommand } from './rule-commands.js';
import { RuleMachine, type Firing } from './rule-machine.js';
import { rulesAtStart, type Replayed, type RuleReplay } from './rule-replay.js';

/** Retries of reads while acknowledged events are not readable yet, and the pause between them. */
const readTries = 5;
const readAgainMs = 1_000;
/** How long a change of rules may take to reach the other hubs. The caller and the rules wait for it. */
const reachMs = 2_000;

export interface RunRulesOptions {
  store: EventStore;
  /** The store, where other hubs may take the run up. */
  shared: SharedStore | null;
  replay: RuleReplay;
  /** Bounds the events that wait while the store cannot be read. */
  backlogs: BacklogBudget;
  log: CommandLog;
  /** Pause after the store could not be read or written. */
  tryAgainMs: number;
  /** The run as it is now. */
  run: () => RunSummary;
  /** Does something in the run's mailbox. */
  post: <T>(handle: () => T | Promise<T>) => Promise<T>;
  /** Gives a command like a person's, if it is still due in its turn; a repeated id does nothing. */
  give: (command: RuleCommand, isDue: () => boolean) => Promise<void>;
  onStates: (states: RuleState[]) => void;
  onError: (error: unknown) => void;
}

/** A requested change of rules. */
export interface RulesChange {
  command: GivenCommand & { action: SetRules };
  author: string;
  /** `CommandLog.newWrites` when the command was not in the log. */
  writesBefore: number;
  /** Why the run does not take it now, or null. @throws Refusal `draining` if this hub does not hold the run */
  rejection: () => string | null;
}

/**
 * Evaluates the rules of a run on its durable events, and gives the resulting commands. The command log alone says which
 * commands have been given: a command's id is derived from the run, the rule and the value that made it fire. So after a
 * restart, or at another hub, the same stored values give the same ids. Given commands are not repeated, and commands lost
 * in a crash are given.
 *
 * Its state changes in the run's mailbox. Slow work, such as reads and giving commands, runs outside and posts a message.
 */
export class RunRules {
  /** Null until the stored events of the run have been evaluated. */
  #machine: RuleMachine | null = null;
  /** Counts the evaluations of the run at this hub: results of an earlier one are ignored. */
  #life = 0;
  #isActive = false;
  /** The number and step of the last event that the machine has seen. */
  #seenSeq = 0;
  #seenStep = 0;
  /** Durable events that the machine has not seen. */
  readonly #backlog: RuleBacklog;
  /** Commands of firings, in order, that are not recorded yet. */
  #due: RuleCommand[] = [];
  /** Authors of commands that failed the last time. */
  #failing = new Set<string>();
  #catchingUp: Promise<void> | null = null;
  #working: Promise<void> | null = null;
  /** More work arrived since the current work began. */
  #isKicked = false;
  /** A change of rules is on its way to the other hubs. */
  #changing: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;

  constructor(readonly options: RunRulesOptions) {
    this.#backlog = new RuleBacklog(options.backlogs);
  }

  /** Takes new durable events of the run. In the run's mailbox. */
  take(events: readonly TrainerEvent[] = []): void {
    if (!this.#isActive) this.#begin(events[0]?.seq === 1);
    this.#backlog.push(events);
    this.#evaluate();
    if (this.#machine === null || this.#due.length > 0) this.#kick();
  }

  /**
   * Sets the rules. The previous rules judge all events up to one, and these judge all later ones. The record in the command
   * log says which, so that every evaluation of the same values agrees. Pending commands of removed rules are dropped.
   * @returns its record. Nothing changes if it is `rejected`, because other rules are in force than it replaces, or `failed`,
   *   because another hub that takes the run up could miss it
   * @throws Refusal `draining` if another hub takes the run meanwhile; the error of a failed write, after which the stored log
   *   decides which rules are in force
   */
  async set(change: RulesChange): Promise<CommandRecord> {
    for (;;) {
      await this.#changing;
      await this.options.post(() => {
        if (!this.#isActive && change.rejection() === null) this.#begin(this.options.run().lastSeq === 0);
      });
      await this.#catchUp();
      const outcome = await this.options.post(() => this.#set(change));
      if (outcome === 'again') continue;
      return typeof outcome === 'function' ? outcome() : outcome;
    }
  }

  async #set(change: RulesChange): Promise<CommandRecord | (() => Promise<CommandRecord>) | 'again'> {
    const { log, shared } = this.options;
    const { command, author } = change;
    // It may be a repeat whose first copy is recorded by now.
    const known = log.newWrites === change.writesBefore ? null : await log.find(command.commandId);
    if (known) {
      refuseOtherUse(command, known, author);
      return known;
    }
    const { replaces, ...action } = command.action;
    const given = { ...command, action };
    const rejection = change.rejection();
    if (rejection !== null) return log.add(given, author, rejection);
    const machine = this.#machine;
    if (machine === null || this.#changing) return 'again';
    if (replaces && !isDeepStrictEqual(machine.rules, replaces))
      return log.add(given, author, await this.#changedMeanwhile());
    const outcome = {
      ...{ step: this.#seenStep, afterSeq: this.#seenSeq, before: null },
      after: changesBetween(machine.rules, action.rules),
    };
    const record = await this.#orReadAnew(() => log.addApplied(given, author, outcome));
    if (!shared) return this.#changed(record, action.rules);
    // Events wait for their rules until the change has reached the other hubs.
    const life = this.#life;
    let done = (): void => undefined;
    this.#changing = new Promise<void>((resolve) => (done = resolve));
    return async () => {
      const arrived = await shared.arrived(record.commandId, reachMs).catch(() => false);
      return this.options.post(() => this.#reached(record, action.rules, arrived, life)).finally(done);
    };
  }

  async #reached(record: CommandRecord, rules: GuardRule[], arrived: boolean, life: number): Promise<CommandRecord> {
    // The other hub may have read the log before this record arrived.
    if (life !== this.#life)
      throw new Refusal(
        'draining',
        `The run ${record.runId} has ended or gone to another hub. See which rules it has, and set them again where they ` +
          'are others.',
      );
    this.#changing = null;
    if (arrived) return this.#changed(record, rules);
    const reason =
      `The store that all hubs share did not have it within ${reachMs / 1000} s, and another hub could not know of it: ` +
      'nothing is changed. Try again once the store answers.';
    const failed = await this.#orReadAnew(() => this.options.log.undo(record, reason));
    this.options.log.tell(failed);
    this.#evaluate();
    return failed;
  }

  /** Applies a recorded change. */
  #changed(record: CommandRecord, rules: GuardRule[]): CommandRecord {
    const machine = this.#machine!;
    const unchanged = new Set(rules.filter((rule) => machine.has(rule)).map(({ name }) => ruleAuthor(name)));
    this.#due = this.#due.filter((due) => unchanged.has(due.author));
    machine.set(rules);
    this.options.log.tell(record);
    this.options.onStates(machine.states);
    this.#evaluate();
    return record;
  }

  /** A failed write may have been done: the stored log decides which rules are in force. */
  async #orReadAnew<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      this.#machine = null;
      this.#due = [];
      this.#kick();
      throw error;
    }
  }

  /** Why rules that replace outdated ones are rejected. */
  async #changedMeanwhile(): Promise<string> {
    const last = (await this.options.store.commands(this.options.run().runId)).findLast(
      ({ action, state }) => action.kind === 'set_rules' && state === 'applied',
    );
    const by = last ? `, by ${last.author} at step ${last.step}` : '';
    return `The rules were changed meanwhile${by}: nothing is set. See those in force, and change these.`;
  }

  /**
   * Resolves when all taken events have been evaluated and the resulting commands are recorded. Not in the mailbox.
   * @throws the error of a failed attempt, which is retried anyway
   */
  async settled(): Promise<void> {
    await this.#working?.catch(() => undefined);
    if (!this.isSettled) await this.#work();
  }

  /** The run has ended, or is another hub's. */
  forget(): void {
    clearTimeout(this.#retry);
    this.#life++;
    this.#isActive = false;
    this.#machine = null;
    this.#backlog.takeAll();
    this.#due = [];
    this.#failing.clear();
    this.#catchingUp = null;
    this.#changing = null;
  }

  /** The states of the rules; null if the run is not evaluated here, or not yet. */
  get states(): RuleState[] | null {
    return this.#machine?.states ?? null;
  }

  /** Whether all taken events have been evaluated and the resulting commands are recorded. */
  get isSettled(): boolean {
    return !this.#isActive || this.#isDone;
  }

  get #isDone(): boolean {
    return this.#machine !== null && this.#backlog.isEmpty && this.#due.length === 0;
  }

  /** @param isNew the run has no stored events, so that nothing must be read */
  #begin(isNew: boolean): void {
    const run = this.options.run();
    this.#isActive = true;
    this.#machine = isNew && !run.parent?.goesOn ? new RuleMachine(rulesAtStart(run)) : null;
    [this.#seenSeq, this.#seenStep] = [0, 0];
  }

  /** Evaluates the waiting events, unless the machine is not ready or a change is on its way. */
  #evaluate(): void {
    const machine = this.#machine;
    if (machine === null || this.#changing) return;
    const before = machine.isIdle ? null : JSON.stringify(machine.states);
    const { runId } = this.options.run();
    for (const event of this.#backlog.takeAll()) {
      if (event.seq <= this.#seenSeq) continue;
      // Another hub had the run in between, or a part was not readable: the effect on the rules is unknown.
      if (event.seq > this.#seenSeq + 1) machine.gap();
      this.#seenSeq = event.seq;
      this.#seenStep = event.step;
      this.#due.push(...evaluate(machine, event).flatMap((firing) => commandsOf(runId, firing)));
    }
    if (before !== null && before !== JSON.stringify(machine.states)) this.options.onStates(machine.states);
    if (this.#due.length > 0) this.#kick();
  }

  /** Starts the work, and retries it until it succeeds. */
  #kick(): void {
    this.#isKicked = true;
    if (this.#working) return;
    this.#isKicked = false;
    const life = this.#life;
    this.#work()
      .catch((error: unknown) => {
        if (life !== this.#life) return;
        this.options.onError(error);
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.#kick(), this.options.tryAgainMs).unref();
      })
      .finally(() => {
        if (this.#isKicked && this.#isActive) this.#kick();
      });
  }

  #work(): Promise<void> {
    this.#working ??= this.#catchUp()
      .then(() => this.#giveDue())
      .finally(() => (this.#working = null));
    return this.#working;
  }

  /**
   * Gives the due commands, each rule's in order. A rule whose command fails now, such as one that reads a store that is
   * down, does not block other rules.
   * @throws the first failure, after all other commands have been given
   */
  async #giveDue(): Promise<void> {
    const life = this.#life;
    const failures = new Map<string, unknown>();
    for (;;) {
      const open = this.#due.filter(({ author }) => !failures.has(author));
      // Failed commands come last: they may be slow to fail again.
      const next = open.find(({ author }) => !this.#failing.has(author)) ?? open[0];
      if (!next) break;
      try {
        await this.options.give(next, () => this.#due.includes(next));
        this.#due = this.#due.filter((due) => due !== next);
      } catch (error) {
        if (life !== this.#life) return;
        failures.set(next.author, error);
      }
    }
    this.#failing = new Set(failures.keys());
    for (const failure of failures.values()) throw failure;
  }

  /** Evaluates the stored events, unless that is done. */
  #catchUp(): Promise<void> {
    if (this.#machine !== null || !this.#isActive) return Promise.resolve();
    const catchingUp = (this.#catchingUp ??= this.#readStored().finally(() => {
      if (this.#catchingUp === catchingUp) this.#catchingUp = null;
    }));
    return catchingUp;
  }

  /** Evaluates the stored events, and finds the resulting commands that have not been given. */
  async #readStored(): Promise<void> {
    const { store, replay } = this.options;
    const life = this.#life;
    const run = this.options.run();
    let ungiven: UngivenCommands;
    const evaluateStored = async (): Promise<Replayed> => {
      ungiven = new UngivenCommands(run.runId, await store.commands(run.runId));
      return replay.of(run, {}, ungiven);
    };
    let read = await evaluateStored();
    const wanted = (): number => this.#backlog.firstSeq ?? run.lastSeq + 1;
    const isShort = (): boolean => !read.hasBeginning || (read.isWatched && read.lastSeq + 1 < wanted());
    for (let tries = 1; isShort() && tries < readTries && life === this.#life; tries++) {
      await sleep(readAgainMs, undefined, { ref: false });
      read = await evaluateStored();
    }
    // More events may be stored by now than were known at the beginning.
    const [last] = read.lastSeq > run.lastSeq ? await store.events(run.runId, read.lastSeq, 1) : [];
    const given = await store.commands(run.runId);
    await this.options.post(() => {
      if (life !== this.#life || this.#machine !== null) return;
      this.#due.push(...ungiven.rest(given));
      this.#machine = read.machine;
      this.#seenSeq = read.lastSeq;
      this.#seenStep = last?.step ?? run.lastStep;
      // Acknowledged events that cannot be read, e.g. because they are on the disk of a hub that is gone.
      if (read.lastSeq + 1 < wanted()) {
        read.machine.gap();
        this.#seenSeq = wanted() - 1;
      }
      this.options.onStates(read.machine.states);
      this.#evaluate();
    });
  }
}

/** The names of added, changed and removed rules, without empty groups. */
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

function evaluate(machine: RuleMachine, event: RuleEvent): Firing[] {
  machine.hear(event);
  if (event.isSegment) machine.newSegment();
  if (event.metrics === null || machine.isIdle) return [];
  const { seq, step } = event;
  return Object.entries(event.metrics).flatMap(([metric, value]) =>
    machine.take(metric, { seq, step, value: fromWireNumber(value) }),
  );
}
