import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreUnavailableError } from './event-store.js';
import type { InfluxClient } from './influx-client.js';
import { deletePoints, lineOfCleared, queryPasts, type Deletion, type Removal } from './influx-deletion.js';
import { insist, messageOf } from './influx-retry.js';
import { writeDurably } from './durable-file.js';

export interface PointRemovalOptions {
  /** Of the spool, which keeps other processes out. */
  folder: string;
  /** Told of what a person has to know. */
  onProblem: (message: string) => void;
  /** Told when what failed for a while is done. */
  onMended: (message: string) => void;
}

/**
 * Deletes from InfluxDB the points of runs that it has the note of, one run after the other. InfluxDB may take minutes over
 * one, so nothing waits for it but a new run under the same id. What is still to be done is in `deletions.json` and goes on
 * at the next start.
 */
export class PointRemoval {
  #waiting: Deletion[] = [];
  /** What asking again will not change; it is tried once more when the hub is started. */
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

  /** Deletions that are not cleared. */
  get waiting(): readonly Deletion[] {
    return this.#waiting;
  }
  /** Whether nothing is left that would be done by waiting. */
  get isDone(): boolean {
    return this.#next === undefined;
  }
  /** What waits and why, or null. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Takes up what the process before left. @throws StoreUnavailableError when that cannot be read */
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

  /** InfluxDB has the note of this. Resolves once that is on disk; doing it again is harmless. */
  async add(deletion: Deletion): Promise<void> {
    if (!this.#waiting.some(({ id }) => id === deletion.id)) this.#waiting.push(deletion);
    await this.#save();
    this.#wake();
  }

  /** Breaks off what is under way. */
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
      `InfluxDB will not delete what it has of run ${runId}: ${answer.problem}. See whether what is at ` +
        'PLUMBLINE_INFLUX_URL lets POST /api/v2/delete through and has the bucket, then start the hub again, which tries ' +
        'once more. Until then the run stays hidden and its id taken.',
    );
  }

  /** Does what is left to do of a deletion, which may be nothing: the process before may have ended between two steps. */
  async #ask(deletion: Deletion): Promise<Removal> {
    const { runId, id, life } = deletion;
    const past = (await queryPasts(this.client, [deletion], runId)).get(runId)!;
    let removal: Removal = { kind: 'stored', left: null };
    if (!past.cleared.has(id)) {
      // Points of a run that was created since are not to be told from what this is about.
      if (past.life === life) removal = await deletePoints(this.client, runId, this.#stopping.signal);
      if (removal.kind !== 'stored') return removal;
      const said = await this.client.write(lineOfCleared(deletion), true);
      if (said.kind !== 'stored') return said;
      // Before the deletion counts as done.
      if (removal.left !== null)
        this.options.onProblem(`The run ${runId} is deleted, but not everywhere: ${removal.left}`);
    }
    this.#waiting = this.#waiting.filter((other) => other.id !== id);
    await this.#save();
    return removal;
  }

  /** Said when it begins, not at each attempt. */
  #failed(problem: string): void {
    if (this.#problem === null) this.options.onProblem(problem);
    this.#problem = problem;
  }

  /** One after the other, each what there is when its turn comes. */
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
