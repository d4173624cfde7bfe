import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import type { CommandRecord, GivenCommand } from '@plumbline/shared/command';
import { isRuleAuthor } from '@plumbline/shared/rule';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import type { Admitted } from './admission.js';
import { commandEndTypes } from './command-log.js';
import { endedBefore, expectedState, refusalReason, untakenReason } from './command-states.js';
import { controlEventsOf } from './control-events.js';
import { Refusal } from './refusal.js';
import { refuseOtherUse } from './repeated-command.js';
import type { RunCore } from './run-core.js';
import type { RunEnding } from './run-ending.js';
import { isNotification } from './webhook.js';

/** The facts about a command that were read before its turn. */
interface Prepared {
  /** `CommandLog.newWrites` when the id was looked up in the log. */
  writesBefore: number;
  /** A command with the id was given before. Its record may change until the turn comes. */
  isKnown: boolean;
  /** Null where the run's state did not allow the command anyway. */
  admitted: Admitted | null;
}

/** Checks the commands of a run, records them and sends them to the trainer. */
export class CommandIntake {
  constructor(
    readonly run: RunCore,
    readonly ending: RunEnding,
  ) {}

  /**
   * Gives a command.
   * @param isDue called when its turn has come; if it returns false, nothing is done
   * @returns the command's record, for a known id the earlier one; null if it was not due
   * @throws Refusal `draining` if the hub takes no new work, no hub holds the run now, or it is being deleted; `conflict`
   *   if the id was used for another run or action
   */
  async give(command: GivenCommand, author: string, isDue: () => boolean = () => true): Promise<CommandRecord | null> {
    const { run } = this;
    const { cluster } = run.context;
    for (;;) {
      run.refuseWhileDeleted();
      const summary = this.#summary();
      if (!hasEnded(summary.state) && !run.record.isHeld) {
        const hub = await cluster.holder(run.runId);
        if (hub) return cluster.forward(hub, command, author);
        if (!run.record.isHeld) throw this.#nobodyHolds();
      }
      const prepared = await this.#prepare(command, author, summary);
      const { action } = command;
      if (action.kind === 'set_rules' && !prepared.isKnown && this.#refusal(command) === null && isDue())
        return run.rules.set({
          ...{ command: { ...command, action }, author, writesBefore: prepared.writesBefore },
          rejection: () => {
            this.#refuseNew(author);
            return this.#refusal(command) ?? prepared.admitted?.rejection ?? null;
          },
        });
      const record = await run.post(() => (isDue() ? this.#take(command, author, prepared) : null));
      if (record !== 'again') return record;
    }
  }

  /** Reads the facts for the decision. This is slow, and the run goes on meanwhile. */
  async #prepare(command: GivenCommand, author: string, summary: RunSummary): Promise<Prepared> {
    const { commands, context } = this.run;
    const writesBefore = commands.newWrites;
    const isKnown = (await commands.find(command.commandId)) !== null;
    const isAllowed = !isKnown && this.#refusal(command) === null;
    const admitted = isAllowed ? await context.admission.admit(command, author, summary) : null;
    return { writesBefore, isKnown, admitted };
  }

  /** Decides in the run's mailbox. @returns 'again' if the prepared facts are stale */
  async #take(command: GivenCommand, author: string, prepared: Prepared): Promise<CommandRecord | 'again'> {
    const { commands } = this.run;
    await this.run.confirmPresence();
    await this.#settle();
    const summary = this.#summary();
    const { commandId } = command;
    const isNew = !prepared.isKnown && commands.newWrites === prepared.writesBefore;
    const known = isNew ? null : await commands.find(commandId);
    if (known) {
      refuseOtherUse(command, known, author);
      return this.#takeAgain(known);
    }
    this.#refuseNew(author);
    const refusal = this.#refusal(command);
    if (refusal === null && prepared.admitted === null) return 'again';
    const { command: complete, rejection } = prepared.admitted ?? { command, rejection: null };
    const { kind } = command.action;
    if (kind === 'end_run' && refusal === null && rejection === null) {
      const [before, after] = [{ state: summary.state }, { state: 'failed' }];
      const record = await commands.addApplied(complete, author, { step: summary.lastStep, before, after });
      commands.tell(record);
      this.ending.endByForce(author);
      return record;
    }
    const record = await commands.add(complete, author, refusal ?? rejection);
    if (record.state === 'pending') this.send(record);
    return record;
  }

  /** Carries out commands whose write failed but was done. In the mailbox. */
  async #settle(): Promise<void> {
    const { commands, record } = this.run;
    const end = (await commands.settle()).find(({ action, state }) => action.kind === 'end_run' && state === 'applied');
    if (!end || hasEnded(this.#summary().state) || !record.isHeld) return;
    commands.tell(end);
    this.ending.endByForce(end.author);
  }

  /** Answers a repeated command. If it is open and its hub has let go of the run, this hub takes it up. */
  async #takeAgain(known: CommandRecord): Promise<CommandRecord> {
    const { commands, context, runId } = this.run;
    const { state } = this.#summary();
    if (known.state !== 'pending' || known.runId !== runId) return known;
    // For an ended run another hub may be delivering it.
    if (hasEnded(state) && isNotification(known) && !(await context.cluster.claimIfFree(runId))) return known;
    if (!commands.takeUp(known)) return known;
    if (!hasEnded(state)) this.send(known);
    else {
      const { events } = await controlEventsOf(context.store, runId, { types: commandEndTypes });
      await commands.load(events);
      await commands.failOpen(endedBefore(state));
    }
    return (await commands.find(known.commandId)) ?? known;
  }

  /** Sends an open command to the run's trainer, if it is connected here. */
  send({ commandId, runId, action }: CommandRecord): void {
    switch (action.kind) {
      // The hub carries these out itself, and has replaced the best checkpoint by a definite one.
      case 'set_rules':
      case 'end_run':
      case 'notify':
      case 'restore_best_checkpoint':
        return;
    }
    const { commands, liveness, context } = this.run;
    const { link } = liveness;
    // A failed send is repeated when the trainer attaches again; until then the command is open or expires.
    link
      ?.send({ commandId, runId, action })
      .then(() => {
        // Another connection that has the run by now was sent the command too.
        if (liveness.link === link) commands.confirm(commandId);
      })
      .catch(context.onError);
  }

  #summary(): RunSummary {
    const { summary } = this.run;
    if (!summary) throw this.run.notFound();
    return summary;
  }

  /** Why the run's state does not allow a command, or null. */
  #refusal({ action }: GivenCommand): string | null {
    const { state, commands, description } = this.#summary();
    const expected = expectedState(state, this.run.commands.open);
    const isBuiltIn = builtInConfig(description) !== null;
    return refusalReason(action.kind, expected, isBuiltIn) ?? untakenReason(action.kind, commands);
  }

  /**
   * Ends the open commands that a trainer which attaches does not take: it would ignore them.
   * @param taken the kinds that it takes; without it, all
   */
  async rejectUntaken(taken: RunSummary['commands']): Promise<void> {
    const { commands } = this.run;
    for (const record of commands.open) {
      const reason = untakenReason(record.action.kind, taken);
      if (reason !== null) await commands.fail(record.commandId, reason);
    }
  }

  /** @throws Refusal `draining` if this hub takes no new command */
  #refuseNew(author: string): void {
    if (!hasEnded(this.#summary().state) && !this.run.record.isHeld) throw this.#nobodyHolds();
    // Commands of rules follow from accepted events, so that they are no new work.
    if (!isRuleAuthor(author)) this.run.context.drain.refuseNewWork();
  }

  /** Its hub has just died. Another hub takes the run up within seconds, or its trainer connects to one. */
  #nobodyHolds(): Refusal {
    return new Refusal(
      'draining',
      `No hub holds the run ${this.run.runId} at this moment. Try again in a few seconds.`,
    );
  }
}
