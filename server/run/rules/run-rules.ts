import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { CommandRecord, GivenCommand, SetRules } from '@plumbline/shared/command';
import { fromWireNumber } from '@plumbline/shared/metric';
import { ruleAuthor, type GuardRule, type RuleState } from '@plumbline/shared/rule';
import type { RunSummary } from '@plumbline/shared/run';
import { isMetricEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import type { EventStore, SharedStore } from '../../store/event-store.js';
import type { CommandLog } from '../command-log.js';
import { Refusal } from '../refusal.js';
import { commandsOf, ungiven, type RuleCommand } from './rule-commands.js';
import { RuleMachine, type Firing } from './rule-machine.js';
import { rulesAtStart, type RuleReplay } from './rule-replay.js';

/** What was acknowledged may still be on its way to where history is read from: so often, and so long, it is waited for. */
const readTries = 5;
const readAgainMs = 1_000;
/** How long a change of rules may take to reach what the other hubs read; people wait for it, and the rules meanwhile. */
const reachMs = 2_000;
/** Events that wait for the store to be readable; older ones are read from it, or count as missing. */
const maxBacklog = 20_000;

export interface RunRulesOptions {
  store: EventStore;
  /** The store, where other hubs may take the run up. */
  shared: SharedStore | null;
  replay: RuleReplay;
  log: CommandLog;
  /** Pause after the store could not be read or written. */
  tryAgainMs: number;
  /** The run as it is now. */
  run: () => RunSummary;
  /** Does something in the run's mailbox. */
  post: <T>(handle: () => T | Promise<T>) => Promise<T>;
  /** Gives a command as a person's is given, if it is still due then; the same id again does nothing. */
  give: (command: RuleCommand, isDue: () => boolean) => Promise<void>;
  onStates: (states: RuleState[]) => void;
  onError: (error: unknown) => void;
}

/** A change of rules that somebody asks for. */
export interface RulesChange {
  command: GivenCommand & { action: SetRules };
  author: string;
  /** `CommandLog.newWrites` when the command was not in the log. */
  writesBefore: number;
  /** Why the run does not take it now, or null. @throws Refusal `draining` where the run is not this hub's */
  rejection: () => string | null;
}

/**
 * Evaluates the rules of a run on its durable events, and gives the commands that follow. Which commands have been given
 * is told by the command log alone: a command's id follows from the run, the rule and the value that made it fire. So
 * after a restart or at another hub the same stored values lead to the same ids, what was given is not given again, and
 * what a crash kept from being given is.
 *
 * It changes in the run's mailbox. What takes long, reading what is stored and giving commands, is done beside the mailbox
 * and comes back to it as a message.
 */
export class RunRules {
  /** Null until what is stored of the run has been evaluated. */
  #machine: RuleMachine | null = null;
  /** Counts the times that the run was evaluated here: what belongs to an earlier one is void. */
  #life = 0;
  #isActive = false;
  /** Up to which event the machine has seen: its number and its step. */
  #seenSeq = 0;
  #seenStep = 0;
  /** Durable events that the machine has not seen. */
  #backlog: TrainerEvent[] = [];
  /** Commands of firings, in order, that are not written down yet. */
  #due: RuleCommand[] = [];
  /** Authors of those that could not be given the last time. */
  #failing = new Set<string>();
  #catchingUp: Promise<void> | null = null;
  #working: Promise<void> | null = null;
  /** Something came since the work under way began. */
  #isKicked = false;
  /** A change of rules is on its way to the other hubs. */
  #changing: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;

  constructor(readonly options: RunRulesOptions) {}

  /** Takes up the run, with new events of it that have just become durable. In the run's mailbox. */
  take(events: readonly TrainerEvent[] = []): void {
    if (!this.#isActive) this.#begin(events[0]?.seq === 1);
    this.#backlog.push(...events);
    if (this.#machine === null) this.#backlog.splice(0, this.#backlog.length - maxBacklog);
    this.#evaluate();
    if (this.#machine === null || this.#due.length > 0) this.#kick();
  }

  /**
   * Sets the rules: those before judge all events up to one, these all after it, which its record in the command log says;
   * so whoever evaluates the same stored values finds the same. What rules that are no more have yet to do is not done.
   * @returns its record; nothing is changed where that is `rejected`, as others are in force than it is to replace, or
   *   `failed`, as another hub that took the run up could not find it
   * @throws Refusal `draining` when another hub takes the run meanwhile; what keeps it from being written down: then what
   *   is stored tells which rules there are
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
    // It may have come twice, and the first be written by now.
    const known = log.newWrites === change.writesBefore ? null : await log.find(command.commandId);
    if (known) return known;
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
    // Until it is known to have reached the other hubs, events wait for the rules that are to judge them.
    const life = this.#life;
    let done = (): void => undefined;
    this.#changing = new Promise<void>((resolve) => (done = resolve));
    return async () => {
      const arrived = await shared.arrived(record.commandId, reachMs).catch(() => false);
      return this.options.post(() => this.#reached(record, action.rules, arrived, life)).finally(done);
    };
  }

  async #reached(record: CommandRecord, rules: GuardRule[], arrived: boolean, life: number): Promise<CommandRecord> {
    // The other hub may have read what is stored before this was there.
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

  /** The change is in the log. */
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

  /** What could not be written may be in the log all the same: what is stored tells which rules there are. */
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

  /** Why rules are not set that were made from others than those in force. */
  async #changedMeanwhile(): Promise<string> {
    const last = (await this.options.store.commands(this.options.run().runId)).findLast(
      ({ action, state }) => action.kind === 'set_rules' && state === 'applied',
    );
    const by = last ? `, by ${last.author} at step ${last.step}` : '';
    return `The rules were changed meanwhile${by}: nothing is set. See those in force, and change these.`;
  }

  /**
   * Resolves when all that was taken of the run has been evaluated and what follows is written down. Not in the mailbox.
   * @throws what kept it from that; it is tried again all the same
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
    this.#backlog = [];
    this.#due = [];
    this.#failing.clear();
    this.#catchingUp = null;
    this.#changing = null;
  }

  /** Where the rules stand; null where the run is not evaluated here, or not yet. */
  get states(): RuleState[] | null {
    return this.#machine?.states ?? null;
  }

  /** All that was taken of the run has been evaluated, and what follows is written down. */
  get isSettled(): boolean {
    return !this.#isActive || this.#isDone;
  }

  get #isDone(): boolean {
    return this.#machine !== null && this.#backlog.length === 0 && this.#due.length === 0;
  }

  /** @param isNew nothing is stored of it yet: nothing has to be read */
  #begin(isNew: boolean): void {
    const run = this.options.run();
    this.#isActive = true;
    this.#machine = isNew && !run.parent?.goesOn ? new RuleMachine(rulesAtStart(run)) : null;
    [this.#seenSeq, this.#seenStep] = [0, 0];
  }

  /** Lets the machine see the events that wait, unless it waits for something itself. */
  #evaluate(): void {
    const machine = this.#machine;
    if (machine === null || this.#changing) return;
    const before = machine.isIdle ? null : JSON.stringify(machine.states);
    const { runId } = this.options.run();
    for (const event of this.#backlog.splice(0)) {
      if (event.seq <= this.#seenSeq) continue;
      // Another hub had the run in between, or a part of it was not to be read: what the rules made of it is not known.
      if (event.seq > this.#seenSeq + 1) machine.gap();
      this.#seenSeq = event.seq;
      this.#seenStep = event.step;
      this.#due.push(...evaluate(machine, event).flatMap((firing) => commandsOf(runId, firing)));
    }
    if (before !== null && before !== JSON.stringify(machine.states)) this.options.onStates(machine.states);
    if (this.#due.length > 0) this.#kick();
  }

  /** Does what is to be done, now and whenever it failed, until it is done. */
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
   * Gives what is due, each rule's in its order. A rule whose command cannot be given now, such as one that has to read from
   * a store that is away, keeps no other from acting.
   * @throws the first failure, after all others have been given
   */
  async #giveDue(): Promise<void> {
    const life = this.#life;
    const failures = new Map<string, unknown>();
    for (;;) {
      const open = this.#due.filter(({ author }) => !failures.has(author));
      // Those that failed come last: they may take long to fail again.
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

  /** Evaluates what is stored, unless the machine has. */
  #catchUp(): Promise<void> {
    if (this.#machine !== null || !this.#isActive) return Promise.resolve();
    const catchingUp = (this.#catchingUp ??= this.#readStored().finally(() => {
      if (this.#catchingUp === catchingUp) this.#catchingUp = null;
    }));
    return catchingUp;
  }

  /** Evaluates what is stored, and finds out which of the commands that follow from it have been given. */
  async #readStored(): Promise<void> {
    const { store, replay } = this.options;
    const life = this.#life;
    const run = this.options.run();
    let read = await replay.of(run);
    const wanted = (): number => this.#backlog[0]?.seq ?? run.lastSeq + 1;
    const isShort = (): boolean => !read.hasBeginning || (read.isWatched && read.lastSeq + 1 < wanted());
    for (let tries = 1; isShort() && tries < readTries && life === this.#life; tries++) {
      await sleep(readAgainMs, undefined, { ref: false });
      read = await replay.of(run);
    }
    // More may be stored by now than was known of the run when this began.
    const [last] = read.lastSeq > run.lastSeq ? await store.events(run.runId, read.lastSeq, 1) : [];
    const given = await store.commands(run.runId);
    await this.options.post(() => {
      if (life !== this.#life || this.#machine !== null) return;
      this.#due.push(...ungiven(run.runId, read, given));
      this.#machine = read.machine;
      this.#seenSeq = read.lastSeq;
      this.#seenStep = last?.step ?? run.lastStep;
      // What was acknowledged and cannot be read, e.g. because it lies on the disk of a hub that is gone.
      if (read.lastSeq + 1 < wanted()) {
        read.machine.gap();
        this.#seenSeq = wanted() - 1;
      }
      this.options.onStates(read.machine.states);
      this.#evaluate();
    });
  }
}

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
  machine.hear(event);
  if (event.type === 'segment_started') machine.newSegment();
  if (!isMetricEvent(event) || machine.isIdle) return [];
  const { seq, step } = event;
  return Object.entries(event.metrics).flatMap(([metric, value]) =>
    machine.take(metric, { seq, step, value: fromWireNumber(value) }),
  );
}
