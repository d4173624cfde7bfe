import type { RuleState } from '@plumbline/shared/rule';
import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import type { RuleReplay } from './rule-replay.js';

/** Runs that have ended whose states are kept. */
const maxKept = 200;
/** Values that rules are judged by at the most: 48 MB while they are read. */
const maxReplayedValues = 2_000_000;

/**
 * Where the rules of runs stand by what is stored of them, for those that no hub evaluates here. It takes reading their
 * series and those of all runs they go on from, so of runs that have ended, which change no more, it is done once.
 */
export class StoredRuleStates {
  /** By run, those that were asked for last at the end; each for as long as its run is as it was then. */
  readonly #kept = new Map<RunId, { of: string; states: RuleState[] }>();

  constructor(readonly replay: RuleReplay) {}

  async of(run: RunSummary): Promise<RuleState[]> {
    const { runId, state, lastSeq, endedMs } = run;
    // A run that was given up as lost goes on when its trainer is back.
    const of = JSON.stringify([state, lastSeq, endedMs]);
    const kept = this.#kept.get(runId);
    this.#kept.delete(runId);
    if (kept?.of === of) {
      this.#kept.set(runId, kept);
      return kept.states;
    }
    const read = await this.replay.of(run, maxReplayedValues);
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
