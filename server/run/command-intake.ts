import type { CommandRecord, GivenCommand } from '@plumbline/shared/command';
import { isRuleAuthor } from '@plumbline/shared/rule';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import type { EventStore } from '../store/event-store.js';
import type { Admission } from './admission.js';
import type { CommandLog } from './command-log.js';
import type { Drain } from './drain.js';
import type { Peers } from './peers.js';
import { Refusal } from './refusal.js';
import type { RuleWatch } from './rule-watch.js';
import { endedBefore } from './run-ending.js';
import type { RunTable } from './run-table.js';
import type { RunWork } from './run-work.js';
import type { TrainerLinks } from './trainer-links.js';
import { isNotification } from './webhook.js';

export interface IntakeParts {
  store: EventStore;
  peers: Peers;
  table: RunTable;
  work: RunWork;
  links: TrainerLinks;
  commands: CommandLog;
  admission: Admission;
  rules: RuleWatch;
  drain: Drain;
  onError: (error: unknown) => void;
}

/** The way of a command from whoever gives it to the trainer of its run: checked, written down, sent on. */
export class CommandIntake {
  constructor(readonly parts: IntakeParts) {}

  /**
   * @param run as it was when the command came
   * @returns the command's record; for an id that was given before, the one of that
   * @throws Refusal `draining` when nothing new is begun, no hub holds the run at this moment, or it is being deleted
   */
  take(run: RunSummary, command: GivenCommand, author: string): Promise<CommandRecord> {
    return this.parts.work.on(run.runId, () => this.#take(run, command, author));
  }

  async #take(run: RunSummary, command: GivenCommand, author: string): Promise<CommandRecord> {
    const { peers, table, commands, admission, rules, drain } = this.parts;
    const { runId } = run;
    if (!hasEnded(run.state) && !table.held.has(runId)) {
      const hub = await peers.holder(runId);
      if (hub) return peers.forward(hub, command, author);
      // Its hub died a moment ago; one of the others takes it up within seconds, or its trainer connects to one.
      throw new Refusal('draining', `No hub holds the run ${runId} at this moment. Try again in a few seconds.`);
    }
    const known = await commands.find(command.commandId);
    // As it is now: it may have ended while the store was asked.
    const now = table.get(runId) ?? run;
    if (known) return this.#takeAgain(now, known);
    // What follows from events that were taken is no new work.
    if (!isRuleAuthor(author)) drain.refuseNewWork();
    const admitted = await admission.admit(command, author, now, commands.open(runId));
    const { action } = admitted.command;
    if (action.kind === 'set_rules' && admitted.rejection === null)
      return rules.set(now, { ...admitted.command, action }, author);
    const record = await commands.add(admitted.command, author, admitted.rejection);
    const { state } = table.get(runId) ?? now;
    if (record.state === 'pending' && hasEnded(state) && !isNotification(record)) {
      // Between its admission and its being written down: what ends a run fails only the commands that it finds open.
      await commands.failOpen(runId, endedBefore(state));
      return (await commands.find(record.commandId)) ?? record;
    }
    if (record.state === 'pending') this.send(record);
    return record;
  }

  /** A command that was given before: when it is open and its hub has let go of the run since, this one goes on with it. */
  async #takeAgain({ runId, state }: RunSummary, known: CommandRecord): Promise<CommandRecord> {
    const { store, peers, commands } = this.parts;
    if (known.state !== 'pending') return known;
    // Of a run that has ended another hub may be delivering it.
    if (hasEnded(state) && isNotification(known) && !(await peers.claimIfFree(runId))) return known;
    if (!commands.takeUp(known)) return known;
    if (!hasEnded(state)) this.send(known);
    else {
      const { events } = await store.controlEvents(runId);
      await commands.load(runId, events);
      await commands.failOpen(runId, endedBefore(state));
    }
    return (await commands.find(known.commandId)) ?? known;
  }

  /** Sends an open command to the run's trainer, if it is connected here. */
  send({ commandId, runId, action }: CommandRecord): void {
    const { links, commands, onError } = this.parts;
    // Not the trainer's: the hub sets rules, notifies, and has made the best checkpoint a certain one.
    if (action.kind === 'set_rules' || action.kind === 'notify' || action.kind === 'restore_best_checkpoint') return;
    // A send that fails is tried again when the trainer attaches anew; until then the command is open or expires.
    links
      .get(runId)
      ?.send({ commandId, runId, action })
      .then(() => commands.confirm(commandId))
      .catch(onError);
  }
}
