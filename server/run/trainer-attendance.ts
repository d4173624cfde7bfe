import { hasEnded, type RunConfig, type RunId, type RunParent, type RunSummary } from '@plumbline/shared/run';
import type { Attach } from '@plumbline/shared/socket';
import type { EventStore } from '../store/event-store.js';
import type { Admission } from './admission.js';
import type { CommandIntake } from './command-intake.js';
import type { CommandLog } from './command-log.js';
import type { Drain } from './drain.js';
import { alone, type Peers } from './peers.js';
import type { RunDeletion } from './run-deletion.js';
import type { RunEnding } from './run-ending.js';
import type { RunHolding } from './run-holding.js';
import { Refusal } from './refusal.js';
import { nextState, stateFromEvents, wasLost } from './run-state.js';
import type { RunTable } from './run-table.js';
import type { RunWork } from './run-work.js';
import type { TrainerLink, TrainerLinks } from './trainer-links.js';

export interface AttendanceParts {
  store: EventStore;
  peers: Peers;
  table: RunTable;
  work: RunWork;
  links: TrainerLinks;
  commands: CommandLog;
  admission: Admission;
  intake: CommandIntake;
  holding: RunHolding;
  ending: RunEnding;
  deletion: RunDeletion;
  drain: Drain;
  /** Runs whose trainer's process is known to live. */
  livingProcesses: ReadonlySet<RunId>;
  /** Reads all runs, once. */
  load: () => Promise<void>;
  /** Makes a run that a trainer brings itself. */
  create: (config: RunConfig, parent: RunParent | null, runId: RunId) => Promise<RunSummary>;
  onAttached: (run: RunSummary) => void;
  onError: (error: unknown) => void;
}

/** Why a run cannot go on whose trainer has let go of events that the store has not. */
const lostEvents = ({ lastSeq }: RunSummary, acknowledgedSeq: number): string =>
  `The store has lost events ${lastSeq + 1} to ${acknowledgedSeq} of this run: its trainer was told that they are ` +
  'stored and cannot send them again. Put an intact copy of the store back, or start a new run from the last checkpoint.';

/** Which trainers are here: they come, go, come back, and are missed when they do not. */
export class TrainerAttendance {
  /** Whether trainers can connect. */
  #isReachable = false;

  constructor(readonly parts: AttendanceParts) {}

  /** See RunService.attach. */
  async attach(attach: Attach, link: TrainerLink): Promise<number> {
    const { links, work } = this.parts;
    const { runId, parent } = attach;
    const attaching = () => this.#attach(attach, link);
    // It is not missed while the store is asked for its run.
    links.arrive(runId);
    try {
      return await work.on(runId, parent ? () => work.on(parent.runId, attaching) : attaching);
    } finally {
      links.arrived(runId);
      this.#miss(runId);
    }
  }

  async #attach({ runId, config, parent, acknowledgedSeq }: Attach, link: TrainerLink): Promise<number> {
    const { store, peers, table, links, commands, admission, intake, holding, deletion, drain } = this.parts;
    const { livingProcesses, load, create, onAttached } = this.parts;
    const isBuiltIn = livingProcesses.has(runId) || (parent !== null && livingProcesses.has(parent.runId));
    if (!isBuiltIn) drain.refuseNewWork();
    await load();
    let run = table.get(runId) ?? (await holding.fromStore(runId));
    if (run && hasEnded(run.state) && (await deletion.missed(run))) run = null;
    if (!run) {
      await deletion.refuseRest(runId, acknowledgedSeq);
      if (parent) await deletion.refuseBranchOfDeleted(parent.runId);
      // A branch takes its run's rules along; should the hub's settings not allow them any more, their records say so.
      if (parent === null) admission.refuseRules(config);
      run = await create(config, parent, runId);
    } else admission.refuseOtherRun(run, { config, parent });
    if (hasEnded(run.state)) {
      const { events } = await store.controlEvents(runId);
      // What is known of a run that ended at another hub may be behind what its trainer was told there.
      if (!wasLost(run.state, events)) {
        await holding.correct(runId, events);
        return Math.max(acknowledgedSeq, table.get(runId)!.lastSeq);
      }
      run = table.set({ ...run, state: stateFromEvents(events), reason: '', endedMs: null });
      await table.write(runId);
    }
    await peers.claim(runId);
    // A hub that is alone has all that was acknowledged, or has lost it, which its trainer has to hear. Of several, a run
    // that is held here may have been at another meanwhile, without Redis to say so.
    const acknowledged = peers === alone ? 0 : acknowledgedSeq;
    if (peers === alone && !hasEnded(run.state) && acknowledgedSeq > run.lastSeq) {
      const reason = lostEvents(run, acknowledgedSeq);
      await this.#lost(run, reason);
      throw new Refusal('conflict', reason);
    }
    if (!table.held.has(runId) || acknowledged > run.lastSeq) run = await holding.takeUp(runId, acknowledged);
    // Its last word lay in the store, and whoever held the run died before writing what follows.
    if (hasEnded(run.state)) return Math.max(acknowledgedSeq, run.lastSeq);
    links.connect(runId, link);
    // Read anew: events that were under way on the connection before may have been stored since.
    run = table.set({ ...table.get(runId)!, trainerConnected: true });
    onAttached(run);
    for (const record of commands.open(runId)) intake.send(record);
    return run.lastSeq;
  }

  /** See RunService.detach. */
  detach(runId: RunId, link: TrainerLink): void {
    const { table, links } = this.parts;
    if (!links.disconnect(runId, link)) return;
    const run = table.get(runId);
    if (!run) return;
    table.set({ ...run, trainerConnected: false });
    if (!hasEnded(run.state)) links.startGrace(runId);
  }

  /** See RunService.trainerLost. */
  async lost(runId: RunId, reason: string): Promise<void> {
    const run = this.parts.table.get(runId);
    if (run && !hasEnded(run.state)) await this.parts.work.on(runId, () => this.#lost(run, reason));
  }

  async #lost(run: RunSummary, reason: string): Promise<void> {
    const { store, peers, table, links, commands, holding, ending, onError } = this.parts;
    const { runId } = run;
    if (!table.held.has(runId)) {
      const hub = await peers.holder(runId);
      if (hub) return peers.forwardLost(hub, runId, reason);
      // It may have said its last word where it was before.
      run = await holding.takeUp(runId);
      if (hasEnded(run.state)) return;
    }
    links.endGrace(runId);
    const state = nextState(run.state, 'trainer_lost');
    table.set({ ...run, state, reason, endedMs: Date.now(), trainerConnected: false });
    // What the trainer said of its commands is what counts, should the hub not have written that down yet.
    await store
      .controlEvents(runId)
      .then(({ events }) => commands.load(runId, events))
      .catch(onError);
    const now = table.get(runId)!;
    // Its trainer may be back.
    if (hasEnded(now.state)) await ending.end(now, false);
  }

  /** From now on trainers that do not connect are missed. */
  expect(): void {
    this.#isReachable = true;
    this.missAll();
  }

  /** Once trainers can connect, those of all runs that this hub holds are to come within the grace. */
  missAll(): void {
    if (this.#isReachable) for (const runId of this.parts.table.held) this.#miss(runId);
  }

  /** Its trainer is to come within the grace, if it is to come at all and is not here. */
  #miss(runId: RunId): void {
    const { table, links } = this.parts;
    const run = table.get(runId);
    if (run && !hasEnded(run.state) && table.held.has(runId) && !links.isHere(runId)) links.startGrace(runId);
  }

  /** A trainer has stayed away for as long as it may. */
  absent(runId: RunId): void {
    const { peers, links, holding, livingProcesses, onError } = this.parts;
    // A living process that is busy will connect again; its exit would tell of its death.
    if (livingProcesses.has(runId)) return;
    void peers
      .holder(runId)
      .then((hub) => {
        if (hub) return holding.letGo(runId);
        // It may have come while that was asked.
        if (links.isHere(runId)) return;
        return this.lost(runId, `The trainer was lost: it did not connect again within ${links.graceMs / 1000} s.`);
      })
      .catch((error: unknown) => {
        onError(error);
        // Whether its trainer is at another hub cannot be asked now.
        this.#miss(runId);
      });
  }
}
