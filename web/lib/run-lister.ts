import { hasEnded, type RunId, type RunProgress, type RunState, type RunSummary } from '@plumbline/shared/run';
import type { ListedRun, RunListResponse, RunSort } from '@plumbline/shared/run-list';
import { RunList } from './run-list';

/** The query, see `RunListQuery`. */
export interface ListQuery {
  state?: readonly RunState[];
  text?: string;
  tag?: string;
  run?: readonly RunId[];
  family?: readonly RunId[];
  sort?: RunSort;
  order?: 'asc' | 'desc';
  limit?: number;
  cursor?: string;
}
export interface ListHub {
  runPage(query: ListQuery): Promise<RunListResponse>;
  onRun(listener: (run: RunSummary) => void): () => void;
  onProgress(listener: (progress: RunProgress) => void): () => void;
  onRunDeleted(listener: () => void): () => void;
  isGone(run: RunSummary): boolean;
}

/** The most runs in one request for newer versions. */
const refreshedAtOnce = 100;
const showMs = 100;
const refreshMs = 3000;
/** All shown pages are fetched again this often, as the message of a deletion may have been missed. */
const reloadMs = 60_000;

/** A list of runs from the hub, page by page. Messages from the hub and repeated requests keep it up to date. */
export class RunLister {
  /** Null until the first page arrives. Fetched runs come in the hub's order, then runs from messages since. */
  runs: readonly ListedRun[] | null = null;
  /** The number of runs on all pages, and of those under way. */
  total = 0;
  going = 0;
  error = '';
  isLoading = false;
  /** Changes with every change. */
  version = 0;
  #next: string | null = null;
  readonly #list: RunList;
  readonly #listeners = new Set<() => void>();
  #showing: ReturnType<typeof setTimeout> | undefined;
  #generation = 0;
  /** Ascending by when they were last fetched again. */
  readonly #refreshedMs = new Map<RunId, number>();

  /** @param isWhole whether to fetch all pages at once */
  constructor(
    readonly hub: ListHub,
    readonly query: ListQuery,
    readonly isWhole = false,
  ) {
    this.#list = new RunList((run, list) => accepts(query, run, list));
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  get hasMore(): boolean {
    return this.#next !== null;
  }

  /** Listens first, then fetches. A run that starts in between is in one of both, and a deleted one in neither. */
  start(): () => void {
    const stops = [
      this.hub.onRun((run) => {
        this.#list.heard(run);
        this.#show();
      }),
      this.hub.onProgress((progress) => {
        this.#list.progressed(progress);
        this.#show();
      }),
      this.hub.onRunDeleted(() => this.#show()),
    ];
    const timers = [
      setInterval(() => void this.#refresh(), refreshMs),
      setInterval(() => void this.reload(), reloadMs),
    ];
    void this.reload();
    return () => {
      this.#generation++;
      clearTimeout(this.#showing);
      for (const timer of timers) clearInterval(timer);
      for (const stop of stops) stop();
    };
  }

  /** Fetches all shown pages again. */
  async reload(): Promise<void> {
    const generation = ++this.#generation;
    const wanted = Math.max(this.query.limit ?? 0, this.runs?.length ?? 0);
    this.#list.asked();
    const all: ListedRun[] = [];
    try {
      for (let cursor: string | undefined; ;) {
        const page = await this.hub.runPage({ ...this.query, ...(cursor !== undefined && { cursor }) });
        if (generation !== this.#generation) return;
        all.push(...page.runs);
        this.#next = page.next;
        Object.assign(this, { total: page.total, going: page.going });
        if (page.next === null || (!this.isWhole && all.length >= wanted)) break;
        cursor = page.next;
      }
      this.#list.answered(all);
      this.error = '';
    } catch (error) {
      if (generation !== this.#generation) return;
      this.error = error instanceof Error ? error.message : String(error);
    }
    this.#show();
  }

  /** Fetches the next page. */
  async more(): Promise<void> {
    if (this.isLoading || this.#next === null) return;
    const generation = this.#generation;
    this.isLoading = true;
    this.#changed();
    try {
      const page = await this.hub.runPage({ ...this.query, cursor: this.#next });
      if (generation !== this.#generation) return;
      this.#next = page.next;
      this.#list.added(page.runs);
      this.error = '';
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    } finally {
      this.isLoading = false;
      this.#show();
    }
  }

  /** Removes deleted runs. */
  gone(runIds: readonly RunId[]): void {
    this.#list.drop(({ runId }) => runIds.includes(runId));
    this.#show();
  }

  /** Fetches runs with an outdated overview again, in turn. */
  async #refresh(): Promise<void> {
    if (this.isWhole || document.hidden) return;
    const old = (this.#list.runs ?? []).filter(
      ({ overview, lastSeq, state }) => overview === null || overview.lastSeq < lastSeq || !hasEnded(state),
    );
    const askedMs = ({ runId }: RunSummary): number => this.#refreshedMs.get(runId) ?? 0;
    const asked = old.sort((a, b) => askedMs(a) - askedMs(b)).slice(0, refreshedAtOnce);
    if (asked.length === 0) return;
    const generation = this.#generation;
    const nowMs = Date.now();
    for (const { runId } of asked) this.#refreshedMs.set(runId, nowMs);
    try {
      const { runs } = await this.hub.runPage({ run: asked.map(({ runId }) => runId) });
      if (generation !== this.#generation) return;
      this.#list.refreshed(asked, runs);
      this.#show();
    } catch {
      // The page keeps the last data. The connection's state, always visible, shows that the hub is away.
    }
  }

  /** Many runs change at once: the page is drawn once for all of them. */
  #show(): void {
    this.#showing ??= setTimeout(() => {
      this.#showing = undefined;
      this.#list.drop((run) => this.hub.isGone(run));
      this.runs = this.#list.runs;
      if (this.runs && this.#next === null) {
        this.total = this.runs.length;
        this.going = this.runs.filter(({ state }) => !hasEnded(state)).length;
      }
      this.#changed();
    }, showMs);
  }

  #changed(): void {
    this.version++;
    for (const listener of this.#listeners) listener();
  }
}

/** Whether a run from a message matches the query. */
function accepts({ state, text = '', tag, family }: ListQuery, run: RunSummary, list: RunList): boolean {
  const sought = text.trim().toLowerCase();
  const isRelated = (): boolean =>
    list.has(run.runId) || family!.includes(run.runId) || (run.parent !== null && list.has(run.parent.runId));
  return (
    (!state || state.length === 0 || state.includes(run.state)) &&
    (tag === undefined || run.description.tags.includes(tag)) &&
    (sought === '' || run.description.name.toLowerCase().includes(sought) || run.runId.includes(sought)) &&
    (!family || isRelated())
  );
}
