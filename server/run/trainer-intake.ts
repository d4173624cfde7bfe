import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { cleaned } from '@plumbline/shared/plain-text';
import { hasEnded, type RunParent, type RunSummary } from '@plumbline/shared/run';
import type { RunDescription } from '@plumbline/shared/run-description';
import type { Attach } from '@plumbline/shared/socket';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { StoreConflictError } from '../store/event-store.js';
import { singleHub } from './cluster.js';
import type { CommandIntake } from './command-intake.js';
import { controlEventsOf } from './control-events.js';
import type { TrainerLink } from './liveness.js';
import { Refusal } from './refusal.js';
import { endedByForce, type RunCore } from './run-core.js';
import type { RunEnding } from './run-ending.js';
import { restoringTypes, type RunLease } from './run-lease.js';
import { wasLost } from './run-state.js';

/** Why a run cannot continue if the trainer has dropped events that the store lacks. */
const lostEvents = ({ lastSeq }: RunSummary, acknowledgedSeq: number): string =>
  `The store has lost events ${lastSeq + 1} to ${acknowledgedSeq} of this run: its trainer was told that they are ` +
  'stored and cannot send them again. Put an intact copy of the store back, or start a new run from the last checkpoint.';

/** Admits the trainer of a run and no other; creates the run that a trainer brings. */
export class TrainerIntake {
  constructor(
    readonly core: RunCore,
    readonly lease: RunLease,
    readonly ending: RunEnding,
    readonly commandIntake: CommandIntake,
  ) {}

  /** Creates the run. @throws StoreConflictError if its id is taken */
  async create(description: RunDescription, parent: RunParent | null, secret: string | undefined): Promise<RunSummary> {
    const { store, cluster } = this.core.context;
    const run: RunSummary = {
      ...{
        runId: this.core.runId,
        description,
        parent,
        state: 'created',
        reason: '',
        trainer: null,
        createdMs: Date.now(),
      },
      ...{ startedMs: null, endedMs: null, trainerConnected: false, lastSeq: 0, lastStep: 0 },
    };
    const { trainerConnected: _c, lastSeq: _s, lastStep: _t, ...stored } = run;
    const trainerSecretDigest = secret === undefined ? undefined : digestOf(secret);
    await store.createRun({ ...stored, ...(trainerSecretDigest !== undefined && { trainerSecretDigest }) });
    await cluster.claim(this.core.runId);
    this.core.record.isHeld = true;
    this.core.record.trainerSecretDigest = trainerSecretDigest;
    this.core.context.deletedIds.delete(this.core.runId);
    return this.core.record.change(run);
  }

  /** See RunRegistry.attach. */
  async attach(attach: Attach, link: TrainerLink): Promise<number> {
    const { store, cluster, onAttached } = this.core.context;
    const { record, runId } = this.core;
    const { acknowledgedSeq, commands } = attach;
    let run = await this.#known(attach);
    if (hasEnded(run.state)) {
      const { events } = await controlEventsOf(store, runId, { types: restoringTypes });
      // This hub's view of a run that ended at another hub may be behind what that hub acknowledged.
      if (!wasLost(run.state, events)) {
        await this.lease.correct(events);
        return attach.newSegment ? this.#attachEnded(attach, events, link) : this.#answerEnded(attach, link);
      }
      await this.#refuseEndedByForce(run);
    }
    await cluster.claim(runId);
    // A single hub has all acknowledged events, or has lost them and must say so. With several hubs, a run held here may
    // have been at another one meanwhile, unnoticed while Redis was down.
    const acknowledged = cluster === singleHub ? 0 : acknowledgedSeq;
    const isBack = hasEnded(run.state);
    if (isBack || !record.isHeld || acknowledged > run.lastSeq) run = await this.lease.takeUp(acknowledged);
    // Its last word was stored, but its hub crashed before recording the consequences.
    if (hasEnded(run.state)) return this.#answerEnded(attach, link);
    if (cluster === singleHub && acknowledgedSeq > run.lastSeq) {
      const reason = lostEvents(run, acknowledgedSeq);
      this.ending.fail(reason);
      throw new Refusal('conflict', reason);
    }
    const isNewOwner = this.#ownedBy(attach.secret);
    // Dirty after an attach that failed here.
    if (isBack || isNewOwner || record.isDirty) await record.write();
    await this.core.series.load(run.lastSeq);
    await this.commandIntake.rejectUntaken(commands ?? run.commands);
    // All that can fail is done.
    this.core.liveness.connect(link);
    run = this.#connected(this.core.summary!, attach);
    onAttached(run);
    for (const open of this.core.commands.open) this.commandIntake.send(open);
    return run.lastSeq;
  }

  /** A trainer of a run that has ended: it learns how far the run came, and may send again what is stored. */
  #answerEnded({ acknowledgedSeq }: Attach, link: TrainerLink): number {
    const { record, liveness, summary } = this.core;
    liveness.connect(link);
    this.core.goesOnBy = null;
    // Another connection may have been about to go on with it.
    this.lease.letGoEnded();
    // Nobody is told: the hub that holds the run by now says how it is.
    return Math.max(acknowledgedSeq, record.put({ ...summary!, trainerConnected: true }).lastSeq);
  }

  /** Attaches a trainer that continues an ended run: the segment begins with its next event. */
  async #attachEnded(attach: Attach, events: readonly ControlEvent[], link: TrainerLink): Promise<number> {
    const { cluster, onAttached } = this.core.context;
    await this.#refuseEndedByForce(this.core.summary!);
    if (this.ending.isUnderWay)
      throw new Refusal('draining', `The run ${this.core.runId} is just ending. Try again in a second.`);
    await cluster.claim(this.core.runId);
    // Before the lease: writing the record of an ended run releases it.
    if (this.#ownedBy(attach.secret) || this.core.record.isDirty) await this.core.record.write();
    const run = await this.lease.holdEnded(attach.acknowledgedSeq, events);
    // All that can fail is done.
    this.core.liveness.connect(link);
    this.core.goesOnBy = link;
    onAttached(this.#connected(run, attach));
    return run.lastSeq;
  }

  #connected({ busy: _b, commands: _c, ...run }: RunSummary, { commands }: Attach): RunSummary {
    return this.core.record.change({ ...run, trainerConnected: true, ...(commands && { commands }) });
  }

  /**
   * The run that a trainer attaches. It creates a missing run, with its texts cleaned; a stored run keeps its description.
   * @throws Refusal if the run belongs to another trainer
   */
  async #known({ run: given, parent, acknowledgedSeq, secret }: Attach): Promise<RunSummary> {
    const { store, cluster, admission } = this.core.context;
    await this.core.confirmPresence();
    let run = this.core.summary;
    if (run && hasEnded(run.state) && cluster !== singleHub && (await this.#isDeletedElsewhere())) {
      await this.core.foundDeleted();
      run = null;
    }
    if (!run) {
      if (acknowledgedSeq > 0 && (await store.deletedRuns()).includes(this.core.runId))
        throw new Refusal(
          'conflict',
          `The run ${this.core.runId} was deleted, with the ${acknowledgedSeq} events that it had. Start a new run.`,
        );
      const description = cleaned(given);
      // A branch keeps its parent's rules. If the hub's settings no longer allow them, their records say so.
      if (parent === null) admission.refuseRules(description);
      // If the other hubs cannot be asked, the trainer's presence here decides.
      if (!(await cluster.claimIfFree(this.core.runId).catch(() => true)))
        throw new Refusal(
          'draining',
          `Another hub has the run ${this.core.runId} or is opening it. Try again in a second.`,
        );
      try {
        return await this.create(description, parent, secret);
      } catch (error) {
        // The trainer has opened it before its connection broke, at another hub or before a crash of this one.
        run = error instanceof StoreConflictError ? await this.core.fromStore() : null;
        if (!run) throw error;
      }
    }
    const description = isDeepStrictEqual(run.description, given) ? given : cleaned(given);
    await admission.refuseOtherRun(run, { description, parent });
    this.#refuseOtherTrainer(secret);
    return run;
  }

  #refuseOtherTrainer(secret: string | undefined): void {
    const { trainerSecretDigest } = this.core.record;
    if (trainerSecretDigest === undefined) return;
    if (secret !== undefined && digestOf(secret) === trainerSecretDigest) return;
    throw new Refusal(
      'forbidden',
      `The run ${this.core.runId} belongs to the trainer that opened it, which shows the secret that it opened it with. ` +
        'Start a new run, or a branch of this one.',
    );
  }

  /** Assigns an unowned run to the trainer with this secret. @returns whether the owner is new */
  #ownedBy(secret: string | undefined): boolean {
    if (secret === undefined || this.core.record.trainerSecretDigest !== undefined) return false;
    this.core.record.trainerSecretDigest = digestOf(secret);
    return true;
  }

  async #refuseEndedByForce(run: RunSummary): Promise<void> {
    this.lease.noteForce(await this.core.context.store.commands(this.core.runId));
    if (this.core.record.isEndedByForce) throw new Refusal('conflict', endedByForce(run));
  }

  async #isDeletedElsewhere(): Promise<boolean> {
    return (await this.core.context.store.deletedRuns()).includes(this.core.runId);
  }
}

const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');
