import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandRecord, GivenCommand } from '@plumbline/shared/command';
import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../store/event-store.js';
import type { CommandLog } from './command-log.js';
import type { Drain } from './drain.js';
import type { Notifier } from './notifier.js';
import { alone, type Peers, type Progress } from './peers.js';
import { Refusal } from './refusal.js';
import { afterEvent } from './run-state.js';
import type { RuleWatch } from './rule-watch.js';
import type { RunDeletion } from './run-deletion.js';
import type { RunEnding } from './run-ending.js';
import type { RunTable } from './run-table.js';
import type { RunWork } from './run-work.js';
import type { TrainerLinks } from './trainer-links.js';

/** Pause before a command is offered again to whichever hub holds its run. */
const passOnMs = 500;
/** Pause before a run is looked at again whose events could not be read, or not all of them. */
const lookAgainMs = 5_000;

export interface HoldingParts {
  store: EventStore;
  peers: Peers;
  table: RunTable;
  work: RunWork;
  links: TrainerLinks;
  commands: CommandLog;
  rules: RuleWatch;
  ending: RunEnding;
  notifier: Notifier;
  deletion: RunDeletion;
  drain: Drain;
  /** Gives a command as a person does: to this hub, or through it to the one that holds the run. */
  give: (command: GivenCommand, author: string) => Promise<CommandRecord>;
  onError: (error: unknown) => void;
}

/** How runs come to this hub and go to others: which one holds a run is decided among `peers`. */
export class RunHolding {
  constructor(readonly parts: HoldingParts) {}

  /** A run that another hub made a moment ago. */
  async fromStore(runId: RunId): Promise<RunSummary | null> {
    const { peers, store, table, deletion } = this.parts;
    if (peers === alone) return null;
    const stored = await store.run(runId);
    if (!stored || deletion.isGone(stored)) return null;
    // Its hub may have told of it meanwhile, and knows more.
    const told = table.get(runId);
    if (told) return told;
    const run = { ...stored, trainerConnected: false };
    table.put(run);
    return run;
  }

  /**
   * Begins to hold a run that another hub held, or none: with its commands, from where it stands in the store.
   * @returns the run; one that has ended there is ended here too and held no more
   */
  async takeUp(runId: RunId, acknowledgedSeq = 0): Promise<RunSummary> {
    const { store, table, commands, rules, ending } = this.parts;
    const stored = await store.run(runId);
    const lastSeq = (await store.takeUp?.(runId, acknowledgedSeq)) ?? (await store.lastSeq(runId));
    const { events } = await store.controlEvents(runId);
    await commands.load(runId, events);
    const known = table.get(runId)!;
    const run = events.reduce(afterEvent, { ...known, ...stored, state: 'created' as const });
    table.held.add(runId);
    const taken = table.set({ ...run, lastSeq, lastStep: Math.max(known.lastStep, stored?.lastStep ?? 0) });
    rules.take(taken);
    if (hasEnded(taken.state)) await ending.end(taken, true);
    return taken;
  }

  /**
   * A run that has ended, as its trainer's own words have it: a hub that could not reach the trainer may have given it
   * up while its last word lay with another hub. Such a guess is replaced.
   * @param events all that are stored of it
   */
  async correct(runId: RunId, events: readonly ControlEvent[]): Promise<void> {
    const { work } = this.parts;
    if (!work.isBeingDeleted(runId)) await work.on(runId, () => this.#correct(runId, events));
  }

  async #correct(runId: RunId, events: readonly ControlEvent[]): Promise<void> {
    const { store, peers, table, commands, rules, ending } = this.parts;
    const lastSeq = await store.lastSeq(runId);
    const run = table.get(runId);
    // Deleted since its events were read.
    if (!run) return;
    const before = { ...run, state: 'created' as const, reason: '', endedMs: null };
    const said = { ...events.reduce<RunSummary>(afterEvent, before), lastSeq: Math.max(run.lastSeq, lastSeq) };
    const isSame = said.state === run.state && said.reason === run.reason && said.endedMs === run.endedMs;
    if (isSame || !hasEnded(said.state) || !hasEnded(run.state)) return;
    said.lastStep = Math.max(said.lastStep, events.at(-1)!.step);
    // Another hub that is telling of it goes on with that.
    const isFree = await peers.claimIfFree(runId);
    await commands.load(runId, events, isFree);
    // By another hub, to which it was free.
    if (!table.get(runId)) return commands.forget(runId);
    if (isFree) rules.take(said);
    await ending.end(said, true);
  }

  /** Looks once at all runs that count as failed whether their trainers have said otherwise; as long as that takes. */
  async correctFailed(signal: AbortSignal): Promise<void> {
    const { store, table, onError } = this.parts;
    for (const { runId } of table.all.filter(({ state }) => state === 'failed'))
      while (!signal.aborted && table.get(runId)?.state === 'failed')
        try {
          const { events, lastSeq } = await store.controlEvents(runId);
          await this.correct(runId, events);
          // The rest is on its way.
          if (lastSeq >= (await store.lastSeq(runId))) break;
          await sleep(lookAgainMs, undefined, { ref: false });
        } catch (error) {
          if (signal.aborted) return;
          onError(error);
          await sleep(lookAgainMs, undefined, { ref: false });
        }
  }

  /**
   * A run whose hub is gone: the first hub to say so holds it, and waits for its trainer. Of one that has ended, it tells
   * what is still to be told.
   */
  async adopt(runId: RunId): Promise<void> {
    const { peers, table, links, notifier } = this.parts;
    const run = table.get(runId);
    if (!run || table.held.has(runId)) return;
    if (hasEnded(run.state)) return notifier.takeUp([runId]);
    if (!(await peers.claimIfFree(runId))) return;
    const taken = await this.takeUp(runId);
    if (!hasEnded(taken.state)) links.startGrace(runId);
  }

  /** Another hub holds the run from now on. */
  letGo(runId: RunId): void {
    const { store, table, links, commands, rules } = this.parts;
    // Of a run that has ended, what is still to be told.
    if (!table.letGo(runId)) return commands.forget(runId);
    rules.forget(runId);
    links.drop(runId);
    const open = commands.open(runId);
    commands.forget(runId);
    store.letGo?.(runId);
    // What was given here goes on there; the same id counts once.
    for (const record of open) this.passOn(record);
  }

  /** Gives an open command of this hub's to the one that holds its run, as soon as there is one. */
  passOn(record: CommandRecord): void {
    void this.#passOn(record).catch(this.parts.onError);
  }

  async #passOn({ commandId, runId, action, cause, author }: CommandRecord): Promise<void> {
    const { give, drain } = this.parts;
    for (;;)
      try {
        await give({ commandId, runId, action, cause }, author);
        return;
      } catch (error) {
        const mayPass = error instanceof Refusal && (error.code === 'internal' || error.code === 'draining');
        if (!mayPass || drain.started) throw error;
        await sleep(passOnMs, undefined, { ref: false });
      }
  }

  /** What another hub says of a run that it holds. */
  mirror(run: RunSummary): void {
    const { table, deletion } = this.parts;
    if (!table.held.has(run.runId) && !deletion.isGone(run)) table.put(run);
  }

  mirrorProgress({ runId, lastSeq, lastStep }: Progress): void {
    const { table, onError } = this.parts;
    const run = table.get(runId);
    // Made while Redis was gone: nobody told of it.
    if (!run) void this.fromStore(runId).catch(onError);
    else this.mirror({ ...run, lastSeq, lastStep });
  }
}
