import type { RuleState } from '@plumbline/shared/rule';
import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import type { RuleReplay } from './rule-replay.js';

/** The most ended runs whose states are cached. */
const maxKept = 200;
/** The most values that rules are evaluated on: 48 MB while they are read. */
const maxReplayedValues = 2_000_000;

/**
 * The states of the rules of stored runs that this hub does not evaluate. Computing them reads the series of the run and of
 * all its ancestors, so the states of ended runs are cached.
 */
export class StoredRuleStates {
  /** By run, the most recently used at the end. An entry is valid until its run changes. */
  readonly #kept = new Map<RunId, { of: string; states: RuleState[] }>();

  constructor(readonly replay: RuleReplay) {}

  /** @param signal ends the read @throws AnswerTooLargeError for too many values, ReadAbandonedError after `signal` */
  async of(run: RunSummary, signal: AbortSignal): Promise<RuleState[]> {
    const { runId, state, lastSeq, endedMs } = run;
    // A lost run continues when its trainer is back.
    const of = JSON.stringify([state, lastSeq, endedMs]);
    const kept = this.#kept.get(runId);
    this.#kept.delete(runId);
    if (kept?.of === of) {
      this.#kept.set(runId, kept);
      return kept.states;
    }
    const read = await this.replay.of(run, { maxValues: maxReplayedValues, signal });
    const { states } = read.machine;
    const isWhole = read.hasBeginning && read.lastSeq >= lastSeq;
    if (hasEnded(state) && isWhole) this.#kept.set(runId, { of, states });
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= maxKept) break;
      this.#kept.delete(oldest);
    }
    return states;
  }
}
