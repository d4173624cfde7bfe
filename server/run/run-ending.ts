import { setTimeout as sleep } from 'node:timers/promises';
import { trainerTakes } from '@plumbline/shared/taken-commands';
import { hasEnded, hasNoTrainerYet } from '@plumbline/shared/run';
import { commandEndTypes } from './command-log.js';
import { endedBefore } from './command-states.js';
import { controlEventsOf } from './control-events.js';
import { StoreBusyError } from '../store/event-store.js';
import type { RunCore } from './run-core.js';
import { nextState } from './run-state.js';

/** How long the caller waits for a run to end completely. */
const endWaitMs = 2_000;
/**
 * How often the end of a run tries to read how its trainer ended its commands: for about a minute. Then it goes on without,
 * because events that another hub has lost never come.
 */
const mostReads = 12;

/** Ends a run: fails its commands, settles its rules and writes its record. */
export class RunEnding {
  #ending: Promise<void> | null = null;
  /** The trainer itself reported the end. */
  #hasLastWord = false;
  /** Stored events end commands whose records were not written. */
  #mayLackEnds = false;
  #failedReads = 0;

  constructor(readonly core: RunCore) {}

  /** Whether the end of the run is not complete yet. */
  get isUnderWay(): boolean {
    return this.#ending !== null;
  }

  /** Marks the run as failed, in the hub's view. In the mailbox. */
  fail(reason: string): void {
    const run = this.core.summary!;
    this.core.liveness.release();
    const state = nextState(run.state, 'trainer_lost');
    this.core.record.change({ ...run, state, reason, endedMs: Date.now(), trainerConnected: false });
    // The trainer's reports on its commands count, even if the hub has not recorded them yet.
    this.endFromStored(false);
  }

  /**
   * Ends commands as their trainer did.
   * @throws StoreBusyError while the store does not show all events of the run
   */
  async #readCommandEnds(): Promise<void> {
    const { store, onError } = this.core.context;
    const { runId } = this.core;
    try {
      const { events, lastSeq } = await controlEventsOf(store, runId, { types: commandEndTypes });
      await this.core.commands.load(events);
      const last = this.core.summary!.lastSeq;
      if (lastSeq < last)
        throw new StoreBusyError(
          `The store shows the events of ${runId} up to ${lastSeq} of ${last}: how its trainer ended its last commands ` +
            'cannot be read yet.',
        );
      this.#mayLackEnds = false;
    } catch (error) {
      this.#failedReads++;
      if (this.#failedReads < mostReads) throw error;
      onError(error);
    }
  }

  /** A person ends the run without its trainer; its command is in the log. In the mailbox. */
  endByForce(by: string): void {
    const run = this.core.summary!;
    const why = hasNoTrainerYet(run)
      ? 'its trainer had not come'
      : trainerTakes(run, 'stop')
        ? 'it had been told to stop and did not'
        : 'its trainer takes no stop command';
    this.core.record.isEndedByForce = true;
    this.core.liveness.cut();
    this.fail(`Ended without its trainer, by ${by}: ${why}.`);
    this.core.context.onEndedByForce(this.core.summary!);
  }

  /**
   * Ends the run: gives the commands of its rules, fails its open commands, writes its record, in this order, and releases
   * it. So a run stored as ended has given all its commands. If this hub dies before, the next hub does it. It retries until
   * it succeeds.
   * @param hasLastWord whether the trainer reported the end; otherwise it is this hub's guess
   */
  end(hasLastWord: boolean): void {
    this.core.record.isHeld = this.core.record.isDirty = true;
    this.#hasLastWord ||= hasLastWord;
    this.#ending ??= this.#endUntilDone().finally(() => (this.#ending = null));
  }

  /** As `end`; first reads from the stored events how the trainer ended its commands. */
  endFromStored(hasLastWord: boolean): void {
    this.#mayLackEnds = true;
    this.#failedReads = 0;
    this.end(hasLastWord);
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

  /** @returns false if the rules have seen more events since they were settled */
  async #writeEnd(): Promise<boolean> {
    const run = this.core.summary;
    // The trainer is back, or another hub holds the run or has deleted it.
    if (!run || !hasEnded(run.state) || !this.core.record.isHeld) return true;
    if (!this.core.rules.isSettled) return false;
    if (this.#mayLackEnds) await this.#readCommandEnds();
    await this.core.commands.failOpen(this.#hasLastWord ? endedBefore(run.state) : run.reason);
    await this.core.record.write(this.#hasLastWord);
    this.#hasLastWord = false;
    this.core.rules.forget();
    return true;
  }

  /** Waits for the end to be complete. Not in the mailbox. */
  async done(): Promise<void> {
    await this.#ending;
  }

  /** Waits briefly for the end to be complete; the durability of events does not depend on it. */
  async settled(): Promise<void> {
    if (this.#ending) await Promise.race([this.#ending, sleep(endWaitMs, undefined, { ref: false })]);
  }
}
