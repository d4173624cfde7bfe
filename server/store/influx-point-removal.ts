import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreUnavailableError } from './event-store.js';
import type { InfluxClient } from './influx-client.js';
import { deletePoints, lineOfCleared, queryPasts, type Deletion, type Removal } from './influx-deletion.js';
import { insist, messageOf } from './influx-retry.js';
import { writeDurably } from './durable-file.js';

export interface PointRemovalOptions {
  /** The spool's folder, which is locked against other processes. */
  folder: string;
  /** Reports a problem that an operator has to know about. */
  onProblem: (message: string) => void;
  /** Reports that deletions succeed again. */
  onMended: (message: string) => void;
}

/**
 * Deletes the points of deleted runs from InfluxDB, one run after another, once InfluxDB has the note of the deletion.
 * InfluxDB may take minutes for one, so only a new run under the same id waits for it. Open deletions are kept in
 * `deletions.json` and resume at the next start.
 */
export class PointRemoval {
  #waiting: Deletion[] = [];
  /** A refusal that retrying does not change; it is tried again when the hub starts. */
  readonly #givenUp = new Set<string>();
  #saving: Promise<void> = Promise.resolve();
  #running: Promise<void> | null = null;
  readonly #stopping = new AbortController();
  #wake: () => void = () => undefined;
  #problem: string | null = null;

  constructor(
    readonly client: InfluxClient,
    readonly options: PointRemovalOptions,
  ) {}

  /** Deletions whose points may remain. */
  get waiting(): readonly Deletion[] {
    return this.#waiting;
  }
  /** Whether waiting longer would complete nothing more. */
  get isDone(): boolean {
    return this.#next === undefined;
  }
  /** Which deletion is held up and why, or null. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Loads the deletions that the previous process left. @throws StoreUnavailableError when the file cannot be read */
  async load(): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '[]';
      throw this.#unreadable(error);
    });
    try {
      this.#waiting = JSON.parse(text) as Deletion[];
    } catch (error) {
      throw this.#unreadable(error);
    }
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Adds a deletion whose note InfluxDB has. Resolves once it is on disk; repeating it is harmless. */
  async add(deletion: Deletion): Promise<void> {
    if (!this.#waiting.some(({ id }) => id === deletion.id)) this.#waiting.push(deletion);
    await this.#save();
    this.#wake();
  }

  /** Aborts the deletion under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#running;
    await this.#saving.catch(() => undefined);
  }

  get #path(): string {
    return join(this.options.folder, 'deletions.json');
  }
  get #next(): Deletion | undefined {
    return this.#waiting.find(({ id }) => !this.#givenUp.has(id));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const next = this.#next;
      if (next) await this.#remove(next);
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async #remove(deletion: Deletion): Promise<void> {
    const { runId, id } = deletion;
    const later = (error: unknown): Removal => ({
      ...{ kind: 'later', problem: messageOf(error), retryMs: null, status: 0 },
    });
    const answer = await insist(() => this.#ask(deletion).catch(later), {
      signal: this.#stopping.signal,
      onLater: (problem) => this.#failed(`InfluxDB has yet to delete run ${runId}: ${problem}`),
    });
    if (answer === null) return;
    const { onProblem, onMended } = this.options;
    const hadFailed = this.#problem !== null;
    this.#problem = null;
    if (answer.kind === 'stored') {
      if (hadFailed) onMended('InfluxDB deletes runs again.');
      return;
    }
    this.#givenUp.add(id);
    onProblem(
      `InfluxDB refuses to delete the points of run ${runId}: ${answer.problem}. Check that the server at ` +
        'PLUMBLINE_INFLUX_URL accepts POST /api/v2/delete and has the bucket, then restart the hub, which tries ' +
        'once more. Until then the run stays hidden and its id taken.',
    );
  }

  /** Completes a deletion from wherever the previous process left it. */
  async #ask(deletion: Deletion): Promise<Removal> {
    const { runId, id, life } = deletion;
    const past = (await queryPasts(this.client, [deletion], runId)).get(runId)!;
    let removal: Removal = { kind: 'stored', left: null };
    if (!past.cleared.has(id)) {
      // The points of a run created since cannot be told from those to delete.
      if (past.life === life) removal = await deletePoints(this.client, runId, this.#stopping.signal);
      if (removal.kind !== 'stored') return removal;
      const said = await this.client.write(lineOfCleared(deletion), true);
      if (said.kind !== 'stored') return said;
      // Reported before the deletion counts as done.
      if (removal.left !== null)
        this.options.onProblem(`The run ${runId} is deleted, but not everywhere: ${removal.left}`);
    }
    this.#waiting = this.#waiting.filter((other) => other.id !== id);
    await this.#save();
    return removal;
  }

  /** Reports a problem when it begins, not at each attempt. */
  #failed(problem: string): void {
    if (this.#problem === null) this.options.onProblem(problem);
    this.#problem = problem;
  }

  /** Writes the list to disk. Writes follow one another, each with the list as it is then. */
  #save(): Promise<void> {
    const write = (): Promise<void> => writeDurably(this.#path, Buffer.from(JSON.stringify(this.#waiting)));
    return (this.#saving = this.#saving.then(write, write));
  }

  #unreadable(error: unknown): StoreUnavailableError {
    return new StoreUnavailableError(
      `${this.#path}, the list of deleted runs whose points InfluxDB has yet to delete, cannot be read ` +
        `(${messageOf(error)}). Make it readable, or remove it: these runs then stay hidden and their ids taken.`,
      { cause: error },
    );
  }
}
