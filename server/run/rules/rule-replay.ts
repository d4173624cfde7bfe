import { setImmediate as afterOthers } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { CommandRecord, SetRules } from '@plumbline/shared/command';
import type { GuardRule } from '@plumbline/shared/rule';
import type { RunId, RunParent, RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { AnswerTooLargeError, type EventStore, type Series } from '../../store/event-store.js';
import { controlEventsOf } from '../control-events.js';
import { eachPart, type PartsOptions } from '../series-parts.js';
import { ruleEventOf } from './rule-backlog.js';
import { ruleCommandId } from './rule-commands.js';
import { RuleMachine, type Firing } from './rule-machine.js';

type Run = Pick<RunSummary, 'runId' | 'description' | 'parent' | 'createdMs' | 'lastStep'>;

/** The result of evaluating the rules of a run on its stored events. */
export interface Replayed {
  machine: RuleMachine;
  /** The last event that the machine has seen. */
  lastSeq: number;
  /** Whether the run had a rule at any time. */
  isWatched: boolean;
  /** Whether the ancestors could be read; otherwise the rules count as fired at the start. */
  hasBeginning: boolean;
}

export interface ReplayOptions extends PartsOptions {
  /** Refuses a run whose rules, or those of a run that it goes on from, watch more values than this. */
  maxValues?: number;
}

/** Learns what the rules of a run do while its values are read. Ancestors are left out. */
export interface FiringListener {
  /** The firings of each rule come in order. */
  take(firing: Firing): void;
  rulesChanged(machine: RuleMachine): void;
}

/** The values that are evaluated before a yield to the event loop. */
const valuesPerTurn = 5_000;

/** Runs that were stored before there were rules have no list of them. */
export const rulesAtStart = ({ description }: Pick<Run, 'description'>): GuardRule[] => description.rules;

/** The events that change the state of rules. */
const heard = ['run_started', 'series_declared', 'segment_started', 'checkpoint_saved', 'command_applied'] as const;

/** The point at which a run continues another. */
interface GoingOn {
  /** The checkpoint: the child inherits the state of the rules at its saving. */
  from: RunParent;
  /** The start of the child: it inherits rules set before this time, even after the checkpoint, but no later ones. */
  atMs: number;
}

/** The rules before the first value of a run. */
type Beginning = Pick<Replayed, 'machine' | 'hasBeginning'>;

/** The most branches whose initial states are cached. */
const maxKept = 1000;
/** The longest line of ancestors that is followed; beyond it, they count as unreadable. */
const maxLine = 1000;

/**
 * The states of the rules of runs after all stored events. They start as configured, or as at the checkpoint that the run
 * continues, and follow the changes in its command log.
 * Values are read in parts, so the memory is bounded for any length of the runs.
 * The initial state of a run is constant once it could be read completely, so it is cached: a branch at the end of a long
 * line costs no more than any other.
 */
export class RuleReplay {
  /** By run, those used last at the end. */
  readonly #beginnings = new Map<RunId, { createdMs: number; machine: RuleMachine }>();

  constructor(readonly store: EventStore) {}

  /** @throws AnswerTooLargeError, ReadAbandonedError after `signal` */
  async of(run: Run, options: ReplayOptions = {}, listener?: FiringListener): Promise<Replayed> {
    return replay(this.store, run, null, await this.#beginning(run, options), options, listener);
  }

  async #beginning(run: Run, options: ReplayOptions): Promise<Beginning> {
    /** The run and its ancestors whose initial states must be computed. */
    const line: { child: Run; from: Run }[] = [];
    const seen = new Set<RunId>();
    let beginning: Beginning | null = null;
    for (let at = run; beginning === null;) {
      seen.add(at.runId);
      const kept = this.#kept(at);
      const { parent } = at;
      // An earlier trainer may have claimed a cycle of parents: it ends here.
      const isRoot = !parent?.goesOn || seen.has(parent.runId);
      const from = kept || isRoot ? null : await this.store.run(parent.runId);
      if (kept) beginning = { machine: kept, hasBeginning: true };
      else if (!from) beginning = { machine: new RuleMachine(rulesAtStart(at)), hasBeginning: true };
      else if (line.length >= maxLine) beginning = { machine: new RuleMachine(rulesAtStart(at)), hasBeginning: false };
      else {
        line.push({ child: at, from });
        at = from;
      }
    }
    for (const { child, from } of line.reverse()) {
      beginning = await goOn(this.store, child, from, beginning, options);
      if (beginning.hasBeginning) this.#keep(child, beginning.machine.copy());
    }
    return beginning;
  }

  #kept({ runId, createdMs }: Run): RuleMachine | null {
    const kept = this.#beginnings.get(runId);
    // Another run may have been made under the id of a deleted one.
    if (kept?.createdMs !== createdMs) return null;
    this.#keep({ runId, createdMs }, kept.machine);
    return kept.machine.copy();
  }

  #keep({ runId, createdMs }: Pick<Run, 'runId' | 'createdMs'>, machine: RuleMachine): void {
    this.#beginnings.delete(runId);
    this.#beginnings.set(runId, { createdMs, machine });
    for (const oldest of this.#beginnings.keys()) {
      if (this.#beginnings.size <= maxKept) break;
      this.#beginnings.delete(oldest);
    }
  }
}

/** The rules before the first value of a branch, from the initial state of its parent. */
async function goOn(
  store: EventStore,
  child: Run,
  from: Run,
  beginning: Beginning,
  options: ReplayOptions,
): Promise<Beginning> {
  const parent = child.parent!;
  const upTo = { from: parent, atMs: child.createdMs };
  const { machine, hasBeginning } = await replay(store, from, upTo, beginning, options);
  const rules = rulesAtStart(child);
  // The child inherits rules that people have set since, unless its own configuration differs.
  if (!isDeepStrictEqual(rules, rulesAtStart(from))) machine.set(rules);
  if (!hasBeginning) machine.gap();
  machine.goOn(parent.step);
  return { machine, hasBeginning };
}

/**
 * @param upTo the point at which a child continues; null for all stored events
 * @param beginning the initial state, whose machine is consumed
 */
async function replay(
  store: EventStore,
  run: Run,
  upTo: GoingOn | null,
  { machine, hasBeginning }: Beginning,
  { maxValues = Infinity, ...reading }: ReplayOptions,
  listener?: FiringListener,
): Promise<Replayed> {
  const { signal } = reading;
  const { events } = await controlEventsOf(store, run.runId, { types: heard, ...(signal && { signal }) });
  const records = await store.commands(run.runId, signal);
  for (const event of events) machine.hear(ruleEventOf(event));
  const changes = changesIn(records, upTo?.atMs ?? Infinity);
  const all = [...machine.rules, ...changes.flatMap(({ rules }) => rules)];
  const saved = upTo && savedAt(events, upTo.from);
  const endSeq = upTo ? (saved?.seq ?? 0) : Infinity;
  /** The last firing of each rule here. */
  const lastFirings = new Map<GuardRule, Firing>();
  const startedSegments = events.filter((event) => event.type === 'segment_started');
  /** What happens to the rules between values. */
  const turns = [...changes, ...startedSegments.map(({ seq }) => ({ afterSeq: seq, rules: null }))]
    .filter(({ afterSeq }) => afterSeq < endSeq)
    .sort((a, b) => a.afterSeq - b.afterSeq);
  let turnsTaken = 0;
  const takeTurnsBefore = async (
    seq: number,
    before: (turn: (typeof turns)[number]) => Promise<void>,
  ): Promise<void> => {
    for (let turn; (turn = turns[turnsTaken]) && turn.afterSeq < seq; turnsTaken++) {
      await before(turn);
      if (turn.rules === null) machine.newSegment();
      else {
        machine.set(turn.rules);
        listener?.rulesChanged(machine);
      }
    }
  };
  let values = 0;
  const takePart = async (part: Map<string, Series>): Promise<void> => {
    const taken = new Map<string, number>();
    const takeUntil = async (seq: number): Promise<void> => {
      for (const [metric, { seqs, steps, values }] of part) {
        let i = taken.get(metric) ?? 0;
        for (; i < seqs.length && seqs[i]! <= seq && seqs[i]! < endSeq; i++) {
          for (const firing of machine.take(metric, { seq: seqs[i]!, step: steps[i]!, value: values[i]! })) {
            lastFirings.set(firing.rule, firing);
            listener?.take(firing);
          }
          if (i % valuesPerTurn === valuesPerTurn - 1) await afterOthers();
        }
        taken.set(metric, i);
      }
    };
    let lastOfPart = 0;
    for (const { seqs } of part.values()) {
      values += seqs.length;
      lastOfPart = Math.max(lastOfPart, seqs.at(-1) ?? 0);
    }
    if (values > maxValues) throw new AnswerTooLargeError(maxValues);
    await takeTurnsBefore(lastOfPart, ({ afterSeq }) => takeUntil(afterSeq));
    await takeUntil(Infinity);
  };
  const metrics = [...new Set(all.map(({ metric }) => metric))];
  const { lastSeq } =
    metrics.length > 0
      ? await eachPart(store, run, { metrics, startedSegments, toStep: upTo?.from.step }, takePart, reading)
      : { lastSeq: await store.lastSeq(run.runId) };
  await takeTurnsBefore(Infinity, () => Promise.resolve());
  if (upTo)
    for (const firing of lastFirings.values()) if (!isHeld(run.runId, firing, events, endSeq)) machine.undo(firing);
  for (const { rules } of changes.filter((change) => change.afterSeq >= endSeq)) machine.set(rules);
  return {
    machine,
    lastSeq,
    isWatched: metrics.length > 0,
    hasBeginning: hasBeginning && (upTo === null || (saved !== undefined && lastSeq >= endSeq)),
  };
}

/** The save event of a checkpoint: of several with one name the last at its step. */
const savedAt = (events: readonly ControlEvent[], { checkpointId, step }: RunParent): ControlEvent | undefined =>
  events.findLast(
    (event) => event.type === 'checkpoint_saved' && event.checkpointId === checkpointId && event.step === step,
  );

/** When rules were set, in order; up to a wall time. */
function changesIn(records: readonly CommandRecord[], untilMs: number): { afterSeq: number; rules: GuardRule[] }[] {
  const isChange = (record: CommandRecord): record is CommandRecord & { action: SetRules; afterSeq: number } =>
    record.action.kind === 'set_rules' && record.state === 'applied' && record.afterSeq !== undefined;
  return records
    .filter(isChange)
    .filter(({ receivedMs }) => receivedMs <= untilMs)
    .map(({ afterSeq, receivedMs, action: { rules } }) => ({ afterSeq, receivedMs, rules }))
    .sort((a, b) => a.afterSeq - b.afterSeq || a.receivedMs - b.receivedMs);
}

/**
 * Whether a checkpoint includes the change of a firing. The checkpoint of a step is saved before commands that result from
 * the step's values are applied, and in a crashed run they never were: then the rule still has to act.
 */
function isHeld(runId: RunId, { rule, seq }: Firing, events: readonly ControlEvent[], savedSeq: number): boolean {
  return rule.actions.every(({ kind }, index) => {
    if (kind !== 'set_trainable' && kind !== 'lower_learning_rate') return true;
    const commandId = ruleCommandId(runId, rule.name, seq, index);
    return events.some(
      (event) => event.type === 'command_applied' && event.commandId === commandId && event.seq < savedSeq,
    );
  });
}
