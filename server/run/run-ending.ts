import { setTimeout as sleep } from 'node:timers/promises';
import { hasEnded, hasNoTrainerYet } from '@plumbline/shared/run';
import { endedBefore } from './command-states.js';
import type { RunCore } from './run-core.js';
import { nextState } from './run-state.js';

/** How long whoever ends a run waits for all that goes with it. */
const endWaitMs = 2_000;

/** Does what goes with the end of a run, whoever finds out that it has ended. */
export class RunEnding {
  #ending: Promise<void> | null = null;
  /** The trainer has said itself that the run has ended. */
  #hasLastWord = false;

  constructor(readonly core: RunCore) {}

  /** Not all that goes with the end of the run is done. */
  get isUnderWay(): boolean {
    return this.#ending !== null;
  }

  /** The run has failed, as the hub sees it. In the mailbox. */
  async fail(reason: string): Promise<void> {
    const { store, onError } = this.core.context;
    const run = this.core.summary!;
    this.core.liveness.release();
    const state = nextState(run.state, 'trainer_lost');
    this.core.record.change({ ...run, state, reason, endedMs: Date.now(), trainerConnected: false });
    // What the trainer said of its commands is what counts, should the hub not have written that down yet.
    await store
      .controlEvents(this.core.runId)
      .then(({ events }) => this.core.commands.load(events))
      .catch(onError);
    this.end(false);
  }

  /** A person ends the run without its trainer; its command is in the log. In the mailbox. */
  async endByForce(by: string): Promise<void> {
    const why = hasNoTrainerYet(this.core.summary!)
      ? 'its trainer had not come'
      : 'it had been told to stop and did not';
    this.core.record.isEndedByForce = true;
    this.core.liveness.cut();
    await this.fail(`Ended without its trainer, by ${by}: ${why}.`);
    this.core.context.onEndedByForce(this.core.summary!);
  }

  /**
   * A run has ended: what its rules lead to is given, its open commands fail, its record is written, in this order, and
   * it is held no more. So a run that is stored as ended has given all its commands; should this hub die before, whoever
   * takes the run up does it. It is tried until it succeeds.
   * @param hasLastWord its trainer has said so; otherwise it is this hub's guess
   */
  end(hasLastWord: boolean): void {
    this.core.record.isHeld = this.core.record.isDirty = true;
    this.#hasLastWord ||= hasLastWord;
    this.#ending ??= this.#endUntilDone().finally(() => (this.#ending = null));
  }

  async #endUntilDone(): Promise<void> {
    const { closing, tryAgainMs, onError } = this.core.context;
    while (!closing.aborted)
      try {
        await this.core.rules.settled();
        if (await this.core.post(() => this.#writeEnd())) return;
      } catch (error) {
        if (closing.aborted) return;
        onError(error);
        await sleep(tryAgainMs, undefined, { signal: closing, ref: false }).catch(() => undefined);
      }
  }

  /** @returns false when the rules have seen more since they were settled */
  async #writeEnd(): Promise<boolean> {
    const run = this.core.summary;
    // Its trainer is back, or another hub has the run or has deleted it.
    if (!run || !hasEnded(run.state) || !this.core.record.isHeld) return true;
    if (!this.core.rules.isSettled) return false;
    await this.core.commands.failOpen(this.#hasLastWord ? endedBefore(run.state) : run.reason);
    await this.core.record.write(this.#hasLastWord);
    this.#hasLastWord = false;
    this.core.rules.forget();
    return true;
  }

  /** Waits for all that goes with the end of the run. Not in the mailbox. */
  async done(): Promise<void> {
    await this.#ending;
  }

  /** Waits a moment for what goes with the end of the run: that events are durable does not depend on it. */
  async settled(): Promise<void> {
    if (this.#ending) await Promise.race([this.#ending, sleep(endWaitMs, undefined, { ref: false })]);
  }
}
