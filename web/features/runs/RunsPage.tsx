'use client';
import { useEffect, useRef, useState } from 'react';
import { goneWords } from '@plumbline/shared/deletion';
import type { DeletedRun } from '@plumbline/shared/http';
import type { RunId } from '@plumbline/shared/run';
import { maxFamilies } from '@plumbline/shared/request-limits';
import type { ListedRun } from '@plumbline/shared/run-list';
import { formatStep } from '../../charts/format';
import { useReadOnlyReason, useSession } from '../../lib/use-hub';
import { useTitle } from '../../lib/use-title';
import { tagsOf, TagFilter } from './TagFilter';
import { DeleteRunsDialog } from './DeleteRunsDialog';
import { NewRunDialog } from './lazy-new-run-dialog';
import { RunFilterBar, useRunFilter } from './RunFilterBar';
import { RunRow } from './RunRow';
import { orderRuns, type RunRowModel } from './run-tree';
import { TickedBar } from './TickedBar';
import { useFamilies, useRunLister, useSharedReads } from './use-runs';
import './runs.css';

/** Runs per page; the next page is fetched when the end of the list comes into sight. */
const pageSize = 200;

/** The list of all runs with their state and latest key numbers, and a button for a new run. */
export function RunsPage(): React.ReactNode {
  useTitle('Runs');
  const filter = useRunFilter();
  const [tag, setTag] = useState<string | null>(null);
  const lister = useRunLister({ ...filter.query, ...(tag !== null && { tag }), limit: pageSize });
  const { total, going } = lister;
  const runs = useLast(lister.runs);
  const reads = useSharedReads(runs);
  const session = useSession();
  const readOnlyReason = useReadOnlyReason();
  const [opening, setOpening] = useState(false);
  const [allTicked, setTicked] = useState<readonly RunId[]>([]);
  const ticked = allTicked.filter((id) => runs?.some(({ runId }) => runId === id));
  /** The runs in the open delete dialog. */
  const [deleting, setDeleting] = useState<readonly RunId[]>([]);
  const { runs: families, error: familyError } = useFamilies(deleting);
  const error = lister.error || familyError;
  const [deleted, setDeleted] = useState<readonly DeletedRun[]>([]);
  const newRun = (
    <button
      type="button"
      className="button primary"
      disabled={readOnlyReason !== ''}
      title={readOnlyReason}
      onClick={() => setOpening(true)}
      data-testid="new-run"
    >
      New run
    </button>
  );
  const tick = (runId: RunId): void => {
    setDeleted([]);
    setTicked((now) => (now.includes(runId) ? now.filter((other) => other !== runId) : [...now, runId]));
  };
  const tags = [...new Set([...tagsOf(runs ?? []), ...(tag === null ? [] : [tag])])];
  const deleteOff =
    readOnlyReason || (ticked.length > maxFamilies ? `Tick at most ${maxFamilies} runs to delete them together.` : '');
  return (
    <main className="runs-page" id="controls" tabIndex={-1}>
      <header className="runs-head">
        <h1>Runs</h1>
        {runs && runs.length > 0 && (
          <p className="dim">
            {formatStep(total)} {filter.isOn || tag !== null ? 'match' : 'in all'}, {formatStep(going)} under way
          </p>
        )}
        <span className="push" />
        {newRun}
      </header>
      {session.state === 'open' && !session.mayControl && !session.problem && (
        <p className="notice" data-testid="read-only-notice">
          {readOnlyReason}
        </p>
      )}
      {session.state === 'open' && session.problem && (
        <p className="notice" data-kind="warn" role="alert">
          {session.problem}
        </p>
      )}
      {error && (
        <p className="notice" data-kind="bad" role="alert">
          {error}
        </p>
      )}
      {deleted.length > 0 && (
        <p className="notice" role="status" data-testid="deleted-notice">
          {deletedWords(deleted)}
        </p>
      )}
      {!runs && !error && (
        <div className="blank" role="status">
          <i className="loading-bar" />
          Loading runs …
        </div>
      )}
      {runs && (runs.length > 0 || filter.isOn) && <RunFilterBar filter={filter} />}
      {runs?.length === 0 && filter.isOn && (
        <div className="blank" data-testid="no-match">
          <h2>No run matches</h2>
          <p>No run has this in its name or id, in the state that is chosen.</p>
          <button type="button" className="button" onClick={filter.clear}>
            Show all runs
          </button>
        </div>
      )}
      {runs?.length === 0 && !filter.isOn && (
        <div className="blank">
          <h2>No runs yet</h2>
          <p>Start one to watch the base model learn a skill, and see what it costs.</p>
          {!readOnlyReason && newRun}
        </div>
      )}
      <TagFilter tags={tags} chosen={tag} onChoose={setTag} />
      {runs && runs.length > 0 && (
        <ul className="panel runs-table" aria-label={`Runs, ${filter.orderWords}`}>
          <li className="run-row runs-columns" aria-hidden>
            <span>Run</span>
            <span>State</span>
            <span>Progress</span>
            <span>Loss</span>
            <span>Target accuracy</span>
            <span>Held-out accuracy</span>
            <span>Number-token bias</span>
          </li>
          {rowsOf(runs, filter.isTree).map((row) => (
            <li key={row.run.runId} className="run-line">
              <label className="run-tick" title="Tick to compare or delete">
                <input
                  type="checkbox"
                  aria-label={`Tick ${row.run.description.name} (${row.run.runId})`}
                  checked={ticked.includes(row.run.runId)}
                  onChange={() => tick(row.run.runId)}
                  data-testid={`tick-${row.run.runId}`}
                />
              </label>
              <RunRow {...row} runs={runs} reads={reads} />
            </li>
          ))}
          {lister.hasMore && <MoreRuns isLoading={lister.isLoading} onMore={() => void lister.more()} />}
        </ul>
      )}
      {ticked.length > 0 && (
        <TickedBar
          ticked={ticked}
          deleteOff={deleteOff}
          onClear={() => setTicked([])}
          onDelete={() => setDeleting(ticked)}
        />
      )}
      {deleting.length > 0 && families && (
        <DeleteRunsDialog
          chosen={families.filter(({ runId }) => deleting.includes(runId))}
          runs={families}
          off={readOnlyReason}
          onClose={(gone) => {
            setDeleting([]);
            setDeleted(gone);
            lister.gone(gone.map(({ runId }) => runId));
          }}
        />
      )}
      {opening && <NewRunDialog onClose={() => setOpening(false)} />}
    </main>
  );
}

/** The result of a deletion: `Deleted 2 runs: 6,120 events, 12.4 MB of checkpoints and logs.` */
function deletedWords(deleted: readonly DeletedRun[]): string {
  const sum = (of: (one: DeletedRun) => number): number => deleted.reduce((total, one) => total + of(one), 0);
  const what = deleted.length === 1 ? deleted[0]!.runId : `${deleted.length} runs`;
  return `Deleted ${what}: ${goneWords({ events: sum(({ events }) => events), bytes: sum(({ bytes }) => bytes) })}.`;
}

/** Rows with branches below their run, or in the given order. */
function rowsOf(runs: readonly ListedRun[], isTree: boolean): RunRowModel<ListedRun>[] {
  if (isTree) return orderRuns(runs);
  const byId = new Map(runs.map((run) => [run.runId, run]));
  return runs.map((run) => ({ run, parent: run.parent ? byId.get(run.parent.runId) : undefined, depth: 0 }));
}

/** The last list until the next one arrives, so that rows do not vanish while it is fetched. */
function useLast<T>(now: T | null): T | null {
  const last = useRef(now);
  if (now !== null) last.current = now;
  return last.current;
}

/** The end of the list: fetches more when it comes into sight. */
function MoreRuns({ isLoading, onMore }: { isLoading: boolean; onMore: () => void }): React.ReactNode {
  const end = useRef<HTMLLIElement>(null);
  const ask = useRef(onMore);
  ask.current = onMore;
  useEffect(() => {
    const observer = new IntersectionObserver(
      (entries) => entries.some(({ isIntersecting }) => isIntersecting) && ask.current(),
      { rootMargin: '400px' },
    );
    observer.observe(end.current!);
    return () => observer.disconnect();
    // Runs again after each page: an end that is still in sight fetches the next one.
  }, [isLoading]);
  return (
    <li ref={end} className="more-runs" data-testid="more-runs">
      <button type="button" className="button small" disabled={isLoading} onClick={onMore}>
        {isLoading ? 'Loading more …' : 'Show more'}
      </button>
    </li>
  );
}
