import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { runsNamed } from '@plumbline/shared/branch-name';
import type { StartRunRequest } from '@plumbline/shared/built-in/start-run';
import { totalSteps } from '@plumbline/shared/built-in/described-run';
import { hasEnded, type RunId, type RunSummary, type StartingPoint } from '@plumbline/shared/run';
import { checkpointsOf } from '@plumbline/shared/segments';
import { HubAway, HubRefusal, type HubSession } from '../hub-api.js';
import { plannedName, type PlannedRun, type StudySpec } from './study-spec.js';

/** Where a study stands, as often as it changes. */
export interface StudyProgress {
  done: number;
  runs: number;
  /** Steps of all runs. */
  stepsDone: number;
  steps: number;
  /** Of runs under way. */
  current: { name: string; step: number; steps: number }[];
}

/** By planned name. */
export interface StudyOutcome {
  /** The run that finished it. */
  finished: Map<string, RunId>;
  /** Why it could not be brought to its end. */
  problems: Map<string, string>;
}

export interface StudyRunnerOptions {
  /** Runs at one time; the hub may allow fewer, and then the others wait. */
  jobs: number;
  /** How often the hub is asked how runs stand. */
  pollMs?: number;
  onProgress?: (progress: StudyProgress) => void;
  /** What happened that a person should know: a run that was found again, or started anew after it failed. */
  onNote?: (note: string) => void;
}

/** A run that fails is gone on with from its last checkpoint, but not for ever. */
const mostAttempts = 3;
/** A hub that is being restarted is waited for. */
const hubAwayLimitMs = 120_000;
/** A trainer that goes back to a checkpoint tells its run's last word first, and then of the branch. */
const branchLimitMs = 30_000;

/**
 * Brings all runs of a study to their end at a hub. Killed, it finds its runs again by their names, and what they were
 * continued as: those that have finished are not repeated, those under way are waited for, and those that died go on from
 * their last checkpoint.
 */
export class StudyRunner {
  /** By planned name: the runs that make one up, oldest first; all but the last ended before their time. */
  readonly #chains = new Map<string, RunSummary[]>();
  readonly #problems: StudyOutcome['problems'] = new Map();
  readonly #pollMs: number;
  #awaySinceMs: number | undefined;

  constructor(
    private readonly hub: HubSession,
    private readonly study: StudySpec['name'],
    private readonly runs: readonly PlannedRun[],
    private readonly options: StudyRunnerOptions,
  ) {
    this.#pollMs = options.pollMs ?? 500;
  }

  /**
   * A run that cannot be brought to its end keeps no other from it.
   * @throws Error when the hub has runs of these names with other settings, or does not answer
   */
  async run(): Promise<StudyOutcome> {
    await this.#findRuns();
    const waiting = [...this.runs];
    const worker = async (): Promise<void> => {
      for (;;) {
        const index = waiting.findIndex((planned) => !planned.from || this.#isSettled(this.#parentOf(planned)));
        const [planned] = index < 0 ? [] : waiting.splice(index, 1);
        if (planned)
          await this.#bringToEnd(planned).catch((error: unknown) => {
            this.#problems.set(planned.config.name, error instanceof Error ? error.message : String(error));
          });
        else if (waiting.length === 0) return;
        else await sleep(this.#pollMs);
      }
    };
    await Promise.all(Array.from({ length: this.options.jobs }, worker));
    const finished = new Map(
      [...this.#chains].flatMap(([name, chain]) =>
        chain.at(-1)?.state === 'finished' ? [[name, chain.at(-1)!.runId]] : [],
      ),
    );
    return { finished, problems: this.#problems };
  }

  /** Runs of an earlier try, by their names. @throws Error when one was made with other settings */
  async #findRuns(): Promise<void> {
    const known = await this.#patiently(() => this.hub.runs());
    for (const { config } of this.runs) {
      const found = runsNamed(known, config.name).sort((a, b) => a.createdMs - b.createdMs);
      for (const run of found) {
        const { settings, rules } = run.description;
        const itsOwn: Record<string, unknown> = { ...settings, rules };
        const different = Object.entries(config).flatMap(([key, value]) =>
          key === 'name' || isDeepStrictEqual(value, itsOwn[key]) ? [] : [key],
        );
        if (different.length > 0)
          throw new Error(
            `The hub has a run "${config.name}" (${run.runId}) with another ${different.join(', ')}. ` +
              'Give the study another name, or keep its settings.',
          );
      }
      this.#chains.set(config.name, found);
      if (found.at(-1)?.state === 'finished') this.options.onNote?.(`${config.name} is done already.`);
      else if (found.length > 0) this.options.onNote?.(`${config.name} goes on from step ${found.at(-1)!.lastStep}.`);
    }
    this.#tell();
  }

  #isSettled(name: string): boolean {
    return this.#problems.has(name) || this.#chains.get(name)?.at(-1)?.state === 'finished';
  }

  #parentOf({ from, seed }: PlannedRun): string {
    return plannedName(this.study, from!.variant, seed);
  }

  async #bringToEnd(planned: PlannedRun): Promise<void> {
    const { name } = planned.config;
    const chain = this.#chains.get(name)!;
    let attempts = 0;
    let noted: RunId | undefined;
    for (;;) {
      const last = chain.at(-1);
      if (last?.state === 'finished') return;
      if (last && !hasEnded(last.state)) {
        await sleep(this.#pollMs);
        chain[chain.length - 1] = await this.#patiently(() => this.hub.run(last.runId));
        this.#tell();
        continue;
      }
      const next = last?.state === 'stopped' ? await this.#continuationOf(last, name) : null;
      if (next) {
        chain.push(next);
        continue;
      }
      if (last && attempts === mostAttempts)
        throw new Error(`${name} ended ${attempts} times before its time. The last reason: ${last.reason}`);
      if (last && noted !== last.runId)
        this.options.onNote?.(`${name} ended at step ${last.lastStep} (${last.reason || last.state}); it goes on.`);
      noted = last?.runId;
      const started = await this.#start(planned, last);
      if (started) {
        chain.push(started);
        attempts++;
      } else await sleep(this.#pollMs * 4);
    }
  }

  /**
   * The run that a stopped one goes on as by itself: it went back to a checkpoint, or a person started it again.
   * @throws Error when a command has stopped it for good
   */
  async #continuationOf({ runId, lastStep }: RunSummary, name: string): Promise<RunSummary | null> {
    const commands = await this.#patiently(() => this.hub.commands(runId));
    const wasGiven = (kind: string): boolean =>
      commands.some(({ action, state }) => action.kind === kind && state === 'applied');
    const deadlineMs = Date.now() + branchLimitMs;
    do {
      const runs = await this.#patiently(() => this.hub.runs());
      const next = runsNamed(runs, name).find(({ parent }) => parent?.runId === runId);
      if (next) return next;
      if (wasGiven('stop'))
        throw new Error(
          `It was stopped by a command at step ${lastStep}. To have it finished, start a run with its name and settings ` +
            `from a checkpoint of ${runId} in the dashboard, and then the study again.`,
        );
      await sleep(this.#pollMs);
    } while (wasGiven('restore_checkpoint') && Date.now() < deadlineMs);
    return null;
  }

  /** @returns null when the hub has as many trainers as it may have */
  async #start(planned: PlannedRun, last: RunSummary | undefined): Promise<RunSummary | null> {
    const { config } = planned;
    // A run that died between its last checkpoint and its last word has one that leaves nothing to train.
    const own = (last ? await this.#checkpoints(last) : []).filter(({ step }) => step < totalSteps(config));
    const points: StartingPoint[] = [
      // What people and rules have steered it to stays.
      ...own.map(({ runId, checkpointId }) => ({ runId, checkpointId, goesOn: true })),
      ...(await this.#branchPoint(planned)),
    ];
    for (const from of [...points, ...(planned.from ? [] : [undefined])]) {
      try {
        return await this.#startOnce({ config, ...(from && { from }) });
      } catch (error) {
        if (!(error instanceof HubRefusal)) throw error;
        if (error.code === 'conflict' || error.code === 'draining') return null;
        // A trainer that lost its hub has gone on making room for checkpoints that the hub never heard of.
        if (error.code !== 'not_found' || from === undefined) throw error;
      }
    }
    throw new Error(`None of the checkpoints that it could go on from is on the hub's machine any more.`);
  }

  /** Starts a run; a hub whose answer was lost may have started it all the same, and then that is the run. */
  async #startOnce(request: StartRunRequest): Promise<RunSummary> {
    const { name } = request.config;
    const known = new Set(this.#chains.get(name)!.map(({ runId }) => runId));
    for (let attempts = 1; ; attempts++) {
      const lost = await this.hub.start(request).catch((error: unknown) => {
        if (error instanceof HubAway) return error;
        throw error;
      });
      if (!(lost instanceof HubAway)) return lost;
      if (attempts === mostAttempts) throw lost;
      await this.#wait(lost);
      const runs = await this.#patiently(() => this.hub.runs());
      const started = runs.find((run) => run.description.name === name && !known.has(run.runId));
      if (started) return started;
    }
  }

  /** The checkpoint of the run that this one branches from; a run that was gone on with has it in one of its parts. */
  async #branchPoint(planned: PlannedRun): Promise<StartingPoint[]> {
    if (!planned.from) return [];
    const parent = this.#parentOf(planned);
    const problem = this.#problems.get(parent);
    if (problem !== undefined) throw new Error(`${parent}, which it branches from: ${problem}`);
    const { step } = planned.from;
    for (const part of this.#chains.get(parent)!.toReversed()) {
      const found = (await this.#checkpoints(part)).find((checkpoint) => checkpoint.step === step);
      if (found) return [{ runId: found.runId, checkpointId: found.checkpointId }];
    }
    throw new Error(`${parent} has no checkpoint of step ${step}.`);
  }

  /** A run's checkpoints, newest first. */
  async #checkpoints({ runId }: RunSummary): Promise<(StartingPoint & { step: number })[]> {
    const { events } = await this.#patiently(() => this.hub.controlEvents(runId));
    return checkpointsOf(events)
      .toReversed()
      .map(({ checkpointId, step }) => ({ runId, checkpointId, step }));
  }

  /** Asks again while the hub does not answer, as when it is being restarted. */
  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const answer = await ask();
        this.#awaySinceMs = undefined;
        return answer;
      } catch (error) {
        if (!(error instanceof HubAway)) throw error;
        await this.#wait(error);
      }
    }
  }

  /** @throws Error when the hub has been away for too long */
  async #wait(error: HubAway): Promise<void> {
    this.#awaySinceMs ??= Date.now();
    if (Date.now() - this.#awaySinceMs > hubAwayLimitMs)
      throw new Error(`${error.message} Start it and run the study again; it goes on.`, { cause: error });
    await sleep(this.#pollMs);
  }

  #tell(): void {
    const progress: StudyProgress = { done: 0, runs: this.runs.length, stepsDone: 0, steps: 0, current: [] };
    for (const { config, from } of this.runs) {
      const last = this.#chains.get(config.name)?.at(-1);
      // A branch has its parent's steps for nothing.
      const given = from?.step ?? 0;
      progress.steps += totalSteps(config) - given;
      progress.stepsDone += Math.max(0, (last?.lastStep ?? given) - given);
      if (last?.state === 'finished') progress.done++;
      else if (last && !hasEnded(last.state))
        progress.current.push({ name: config.name, step: last.lastStep, steps: totalSteps(config) });
    }
    this.options.onProgress?.(progress);
  }
}
