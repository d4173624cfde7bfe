import { setTimeout as sleep } from 'node:timers/promises';
import { hasEnded, type RunId, type RunState, type RunSummary } from '@plumbline/shared/run';
import type { CommandLog } from './command-log.js';
import type { RuleWatch } from './rule-watch.js';
import type { RunTable } from './run-table.js';

/** How long whoever ends a run waits for all that goes with it. */
const waitMs = 2_000;
/** Pause after the store could not be read or written. */
const tryAgainMs = 5_000;

/** Why a command that was open when its run ended has failed. */
export const endedBefore = (state: RunState): string => `The run ended (${state}) before it took effect.`;

export interface EndingParts {
  table: RunTable;
  commands: CommandLog;
  rules: RuleWatch;
  onError: (error: unknown) => void;
}

/** Does what goes with the end of a run, whoever finds out that it has ended. */
export class RunEnding {
  readonly #closing = new AbortController();
  readonly #underWay = new Map<RunId, Promise<void>>();
  /** Runs of those whose trainers have said so. */
  readonly #said = new Set<RunId>();

  constructor(readonly parts: EndingParts) {}

  /**
   * A run has ended: what its rules lead to is given, its open commands fail, its record is written, in this order, and
   * it is held no more. So a run that is stored as ended has given all its commands; should this hub die before, whoever
   * takes the run up does it. It is tried until it succeeds, and resolves after a moment in any case: that events are
   * durable does not wait for it.
   * @param run as it has ended
   * @param hasLastWord its trainer has said so; otherwise it is this hub's guess
   */
  async end(run: RunSummary, hasLastWord: boolean): Promise<void> {
    const { table } = this.parts;
    table.set(run);
    table.held.add(run.runId);
    table.owe(run.runId);
    if (hasLastWord) this.#said.add(run.runId);
    const ending = this.#underWay.get(run.runId) ?? this.#untilDone(run.runId);
    await Promise.race([ending, sleep(waitMs, undefined, { ref: false })]);
  }

  /** What goes with the end of a run is not all done yet. */
  isUnderWay(runId: RunId): boolean {
    return this.#underWay.has(runId);
  }

  /** Ends all trying. */
  close(): void {
    this.#closing.abort();
  }

  #untilDone(runId: RunId): Promise<void> {
    const work = this.#try(runId).finally(() => {
      this.#underWay.delete(runId);
      this.#said.delete(runId);
    });
    this.#underWay.set(runId, work);
    return work;
  }

  async #try(runId: RunId): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted)
      try {
        return await this.#end(runId);
      } catch (error) {
        if (signal.aborted) return;
        this.parts.onError(error);
        await sleep(tryAgainMs, undefined, { signal, ref: false }).catch(() => undefined);
      }
  }

  async #end(runId: RunId): Promise<void> {
    const { table, commands, rules } = this.parts;
    const run = table.get(runId);
    // Another hub has deleted it.
    if (!run) return;
    // A trainer that was given up may be back by now, at any moment of this, or the run deleted.
    const isOver = (): boolean => {
      const now = table.get(runId);
      return now !== undefined && hasEnded(now.state);
    };
    await rules.settled(run);
    if (!isOver()) return;
    const why = this.#said.has(runId) ? endedBefore(run.state) : run.reason;
    await commands.failOpen(runId, why);
    if (!isOver()) return;
    await table.write(runId, this.#said.has(runId));
    if (isOver()) rules.forget(runId);
  }
}
