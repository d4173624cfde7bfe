import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { hasEnded, totalSteps, type RunId, type RunSummary, type StartingPoint } from '@plumbline/shared/run';
import { checkpointsOf } from '@plumbline/shared/trainer-event';
import { HubRefusal, type HubSession } from './hub-session.js';
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

export interface StudyRunnerOptions {
  /** Runs at one time; the hub may allow fewer, and then the others wait. */
  jobs: number;
  onProgress?: (progress: StudyProgress) => void;
  /** What happened that a person should know: a run that was found again, or started anew after it failed. */
  onNote?: (note: string) => void;
}

const pollMs = 500;
/** A run that fails is gone on with from its last checkpoint, but not for ever. */
const mostAttempts = 3;
/** A hub that is being restarted is waited for. */
const hubAwayLimitMs = 120_000;

/**
 * Brings all runs of a study to their end at a hub. Killed, it finds its runs again by their names: those that have
 * finished are not repeated, those under way are waited for, and those that died go on from their last checkpoint.
 */
export class StudyRunner {
  /** By planned name: the runs that make one up, oldest first; all but the last ended before their time. */
  readonly #chains = new Map<string, RunSummary[]>();
  /** Why runs could not be brought to their end; the others are all the same. */
  readonly #problems = new Map<string, string>();
  #awaySinceMs: number | undefined;

  constructor(
    private readonly hub: HubSession,
    private readonly study: StudySpec['name'],
    private readonly runs: readonly PlannedRun[],
    private readonly options: StudyRunnerOptions,
  ) {}

  /**
   * @returns by planned name, the id of the run that finished it
   * @throws Error once all others are done, naming the runs that could not be brought to their end
   */
  async run(): Promise<Map<string, RunId>> {
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
        else await sleep(pollMs);
      }
    };
    await Promise.all(Array.from({ length: this.options.jobs }, worker));
    if (this.#problems.size > 0)
      throw new Error(
        `${this.#problems.size} of ${this.runs.length} runs could not be brought to their end:\n` +
          [...this.#problems].map(([name, why]) => `  ${name}: ${why}`).join('\n'),
      );
    return new Map(this.runs.map(({ config }) => [config.name, this.#chains.get(config.name)!.at(-1)!.runId]));
  }

  /** Runs of an earlier try, by their names. @throws Error when one was made with other settings */
  async #findRuns(): Promise<void> {
    const known = await this.#patiently(() => this.hub.runs());
    for (const { config } of this.runs) {
      const found = known.filter((run) => run.config.name === config.name).sort((a, b) => a.createdMs - b.createdMs);
      for (const run of found) {
        const different = Object.keys(config).filter(
          (key) => !isDeepStrictEqual(config[key as keyof typeof config], run.config[key as keyof typeof config]),
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
    for (let attempt = 0; ;) {
      const last = chain.at(-1);
      if (last?.state === 'finished') return;
      if (last && !hasEnded(last.state)) {
        await sleep(pollMs);
        chain[chain.length - 1] = await this.#patiently(() => this.hub.run(last.runId));
        this.#tell();
        continue;
      }
      if (last && ++attempt > mostAttempts)
        throw new Error(`${name} ended ${mostAttempts} times before its time. The last reason: ${last.reason}`);
      if (last)
        this.options.onNote?.(`${name} ended at step ${last.lastStep} (${last.reason || last.state}); it goes on.`);
      const started = await this.#start(planned, last);
      if (started) chain.push(started);
      else await sleep(pollMs * 4);
    }
  }

  /** @returns null when the hub has as many trainers as it may have */
  async #start(planned: PlannedRun, last: RunSummary | undefined): Promise<RunSummary | null> {
    const own = last ? await this.#checkpoints(last) : [];
    const points: StartingPoint[] = [
      // What people and rules have steered it to stays.
      ...own.map(({ runId, checkpointId }) => ({ runId, checkpointId, goesOn: true })),
      ...(await this.#branchPoint(planned)),
    ];
    for (const from of [...points, ...(planned.from ? [] : [undefined])]) {
      try {
        return await this.#patiently(() => this.hub.start({ config: planned.config, ...(from && { from }) }));
      } catch (error) {
        if (!(error instanceof HubRefusal)) throw error;
        if (error.code === 'conflict' || error.code === 'draining') return null;
        // A trainer that lost its hub has gone on making room for checkpoints that the hub never heard of.
        if (error.code !== 'not_found' || from === undefined) throw error;
      }
    }
    throw new Error(`None of the checkpoints that it could go on from is on the hub's machine any more.`);
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
        // Not an answer but none: fetch's word for a connection that failed.
        if (!(error instanceof TypeError)) throw error;
        this.#awaySinceMs ??= Date.now();
        if (Date.now() - this.#awaySinceMs > hubAwayLimitMs)
          throw new Error(`The hub at ${this.hub.url} does not answer. Start it and run the study again; it goes on.`, {
            cause: error,
          });
        await sleep(pollMs);
      }
    }
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
