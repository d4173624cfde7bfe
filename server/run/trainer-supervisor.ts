import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EnergySettings } from '@plumbline/shared/energy';
import type { StartRunRequest } from '@plumbline/shared/built-in/start-run';
import type { TrainerLaunch } from '@plumbline/shared/built-in/launch';
import { misfitWords } from '@plumbline/shared/built-in/method-words';
import { builtInConfig, describeRun, totalSteps } from '@plumbline/shared/built-in/described-run';
import type { RunConfig } from '@plumbline/shared/built-in/run-config';
import { hasEnded, type RunId, type RunParent, type RunSummary, type StartingPoint } from '@plumbline/shared/run';
import { startUpNotice } from '../prepare/trainer-program.js';
import { Refusal } from './refusal.js';
import { runFolder } from './run-folder.js';
import type { RunRegistry } from './registry.js';

export interface SupervisorOptions {
  trainerEntry: string;
  dataDir: string;
  token: string;
  maxTrainers: number;
  energy: EnergySettings;
  /** Known once the hub listens. */
  hubUrl: () => string;
  onError: (error: unknown) => void;
}

/** How long events of an exited trainer may still arrive. */
const settleMs = 300;
const adoptedPollMs = 1000;
/** How long a process may take to end before it is killed. */
const killAfterMs = 5_000;

/**
 * Starts the built-in trainers, each in its own process that survives a crash of the hub, and watches for their exit. It
 * restarts none. It follows a trainer to a branch of its run, and adopts a trainer of an earlier hub when it connects.
 */
export class TrainerSupervisor {
  /** Process ids by their current run. */
  readonly #processes = new Map<RunId, number>();
  /** Starts under way without a process yet. */
  #starting = 0;
  #polling: NodeJS.Timeout | null = null;

  constructor(
    readonly runs: RunRegistry,
    readonly options: SupervisorOptions,
  ) {
    runs.on('attached', (run) => void this.#follow(run).catch(options.onError));
    runs.on('endedByForce', ({ runId }) => void this.#kill(runId).catch(options.onError));
  }

  /**
   * Creates a run and starts its trainer.
   * @throws Refusal if too many trainers are running or the checkpoint is missing
   */
  async start({ config, from }: StartRunRequest): Promise<RunSummary> {
    const { maxTrainers } = this.options;
    this.runs.drain.refuseNewWork();
    const busy = this.#processes.size + this.#starting;
    if (busy >= maxTrainers) throw new Refusal('conflict', `${busy} trainers are at work already; stop one first.`);
    this.#starting++;
    try {
      return await this.#start(config, from);
    } finally {
      this.#starting--;
    }
  }

  async #start(config: StartRunRequest['config'], from: StartRunRequest['from']): Promise<RunSummary> {
    let parent: RunParent | null = null;
    if (from) {
      const { step } = await this.runs.checkpoint(from.runId, from.checkpointId);
      if (!this.hasCheckpoint(from))
        throw new Refusal('not_found', `The checkpoint ${from.checkpointId} of ${from.runId} is not on this machine.`);
      if (totalSteps(config) <= step)
        throw new Refusal(
          'invalid',
          `The checkpoint is at step ${step}; ${totalSteps(config)} steps leave nothing to train.`,
        );
      const before = builtInConfig((await this.runs.get(from.runId)).description);
      if (!before)
        throw new Refusal(
          'invalid',
          `The run ${from.runId} is not of the built-in trainer, which cannot go on from its checkpoints.`,
        );
      const misfit = misfitWords(before.method, config.method);
      if (misfit) throw new Refusal('invalid', misfit);
      parent = { ...from, step };
    }
    const secret = randomBytes(24).toString('base64url');
    const run = await this.runs.create(describeRun(config), parent, secret);
    try {
      this.#spawn(run, config, secret);
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      await this.runs.trainerLost(run.runId, `The trainer could not be started: ${cause}`);
      throw new Refusal('internal', `The trainer could not be started: ${cause}`);
    }
    return run;
  }

  /** Whether this hub's data folder has a checkpoint. Those of a run trained elsewhere stay there. */
  hasCheckpoint({ runId, checkpointId }: Pick<StartingPoint, 'runId' | 'checkpointId'>): boolean {
    return existsSync(join(this.#folder(runId), 'checkpoints', checkpointId));
  }

  /**
   * Asks every built-in trainer to save a checkpoint and stop, and waits for them up to `timeoutMs`.
   * @returns the runs of the others; these continue without the hub
   */
  async stopAll(timeoutMs: number): Promise<RunId[]> {
    const told = new Set<number>();
    const deadline = Date.now() + timeoutMs;
    while (this.#processes.size + this.#starting > 0 && Date.now() < deadline) {
      for (const [runId, pid] of this.#processes) {
        if (!told.has(pid)) signal(pid, 'SIGTERM');
        told.add(pid);
        if (!signal(pid, 0)) this.#processes.delete(runId);
      }
      await sleep(50);
    }
    this.close();
    return [...this.#processes.keys()];
  }

  close(): void {
    if (this.#polling) clearInterval(this.#polling);
  }

  #spawn(run: RunSummary, config: RunConfig, secret: string): void {
    const { trainerEntry, dataDir, token, energy, hubUrl, onError } = this.options;
    const folder = this.#folder(run.runId);
    mkdirSync(folder, { recursive: true });
    const log = openSync(join(folder, 'trainer.log'), 'a');
    const launch: TrainerLaunch = {
      hubUrl: hubUrl(),
      token,
      runId: run.runId,
      config,
      parent: run.parent,
      secret,
      dataDir,
      energy,
    };
    const child = spawn(process.execPath, [trainerEntry], { detached: true, stdio: ['pipe', log, log] });
    closeSync(log);
    child.on(
      'error',
      (error) => void this.#lost(run.runId, `The trainer could not be started: ${error.message}`).catch(onError),
    );
    child.on('exit', (code, signalName) => {
      const killer = signalName === 'SIGKILL' ? ' (by somebody, or by the system for want of memory)' : '';
      const how = signalName ? `was ended by ${signalName}${killer}` : `exited with code ${code}`;
      const runId = this.#runOf(child.pid) ?? run.runId;
      void this.#lost(runId, `The trainer ${how}.${lastLines(join(folder, 'trainer.log'))}`).catch(onError);
    });
    // `exit` reports a trainer that dies before it reads its launch; the broken pipe adds nothing.
    child.stdin?.on('error', () => {});
    child.stdin?.end(JSON.stringify(launch));
    child.unref();
    if (child.pid !== undefined) this.#holds(run.runId, child.pid);
  }

  #holds(runId: RunId, pid: number): void {
    this.#processes.set(runId, pid);
    this.runs.livingProcesses.add(runId);
    const folder = this.#folder(runId);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'trainer.pid'), String(pid));
  }

  /** Ends the process of a run that a person ended: it gets a moment to save, and is then killed. */
  async #kill(runId: RunId): Promise<void> {
    const pid = this.#processes.get(runId);
    if (pid === undefined || !signal(pid, 'SIGTERM')) return;
    const endMs = performance.now() + killAfterMs;
    while (signal(pid, 0)) {
      if (performance.now() >= endMs) return void signal(pid, 'SIGKILL');
      await sleep(50);
    }
  }

  async #lost(runId: RunId, reason: string): Promise<void> {
    await sleep(settleMs);
    this.#processes.delete(runId);
    this.runs.livingProcesses.delete(runId);
    await this.runs.trainerLost(runId, reason);
  }

  async #follow(run: RunSummary): Promise<void> {
    if (this.#processes.has(run.runId)) return;
    const pid = run.parent && this.#processes.get(run.parent.runId);
    if (run.parent && pid && hasEnded((await this.runs.get(run.parent.runId)).state)) {
      // The trainer has ended the parent run and continues as its branch.
      this.#processes.delete(run.parent.runId);
      this.runs.livingProcesses.delete(run.parent.runId);
      this.#holds(run.runId, pid);
    } else if (run.trainer?.host === hostname() && run.trainer.processId === this.#writtenPid(run.runId)) {
      this.#holds(run.runId, run.trainer.processId);
      this.#polling ??= setInterval(() => this.#poll(), adoptedPollMs).unref();
    }
  }

  /** An adopted process is not a child of this one, so its exit must be polled. */
  #poll(): void {
    for (const [runId, pid] of this.#processes)
      if (!signal(pid, 0))
        void this.#lost(runId, `The trainer exited.${lastLines(join(this.#folder(runId), 'trainer.log'))}`).catch(
          this.options.onError,
        );
  }

  #runOf(pid: number | undefined): RunId | undefined {
    return [...this.#processes].find(([, held]) => held === pid)?.[0];
  }

  #writtenPid(runId: RunId): number | null {
    const path = join(this.#folder(runId), 'trainer.pid');
    return existsSync(path) ? Number(readFileSync(path, 'utf8')) : null;
  }

  #folder(runId: RunId): string {
    return runFolder(this.options.dataDir, runId);
  }
}

/** Sends a signal (0 only checks); false if there is no such process. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

/** The last lines of a log, for the reason of a failure. */
function lastLines(path: string): string {
  if (!existsSync(path)) return '';
  const said = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '' && !startUpNotice.test(line));
  const lines = said.slice(-6).join('\n').slice(-1500);
  return lines ? ` Its log ends with:\n${lines}` : '';
}
