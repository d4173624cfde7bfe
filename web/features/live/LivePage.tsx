'use client';
import Link from 'next/link';
import { useSearchParams } from 'next/navigation';
import { useEffect, useMemo, useRef, useState } from 'react';
import type { RunSummary } from '@plumbline/shared/run';
import { ChartView } from '../../charts/chart-view';
import { formatClock } from '../../charts/format';
import { ZoomBadge } from '../../charts/ZoomBadge';
import { runIdFrom } from '../../lib/addresses';
import { ApiError } from '../../lib/api';
import type { RunStore } from '../../lib/run-store';
import { useConnection, useSession } from '../../lib/use-hub';
import { useTitle } from '../../lib/use-title';
import { ControlBar } from '../control/ControlBar';
import { FreezeMap } from '../control/FreezeMap';
import { CommandTimeline } from '../history/CommandTimeline';
import { RuleStrip } from '../rules/RuleStrip';
import { FailureBanner } from './FailureBanner';
import { KeyNumbers } from './KeyNumbers';
import { Loading } from './Loading';
import { PanelBoundary } from './PanelBoundary';
import { RefusedNotice } from './RefusedNotice';
import { RunCharts } from './RunCharts';
import { RunHeader } from './RunHeader';
import { RunSaid } from './RunSaid';
import { useFamily } from './use-family';
import { hubAwayWords } from './when-words';
import { RunContext, useFollowedRun, useRun, type FollowedRun } from './use-run';
import './live.css';
import '../control/control.css';

/** The live page of one run, which the address names: `/runs/?run=<id>`. */
export function LivePage(): React.ReactNode {
  const named = runIdFrom(useSearchParams().get('run'));
  const session = useSession();
  // A link's token is exchanged first: a run may be closed to browsers without a session.
  const followed = useFollowedRun(session.state === 'open' ? named : null);
  if (named === null) {
    return (
      <main className="blank">
        <h2>Which run?</h2>
        <p>This address names no run. Choose one from the list.</p>
        <Link href="/" className="button">
          All runs
        </Link>
      </main>
    );
  }
  return followed ? (
    <RunContext value={followed}>
      <FollowedRunPage followed={followed} />
    </RunContext>
  ) : (
    <Loading what="the run" />
  );
}

function FollowedRunPage({ followed }: { followed: FollowedRun }): React.ReactNode {
  const { store, feed } = useRun();
  const view = useMemo(() => new ChartView(), []);
  const session = useSession();
  const run = store.runSummary;
  useTitle(run ? run.description.name : `Run ${followed.runId}`);
  const [branches, setBranches] = useState<readonly RunSummary[]>([]);

  const extent = useRef('');
  useEffect(() => {
    const follow = (): void => {
      if (!store.runSummary) return;
      const from = store.firstStep;
      const to = Math.max(store.runSummary.lastStep, from + 10);
      if (extent.current === `${from} ${to}`) return;
      extent.current = `${from} ${to}`;
      view.setExtent(from, to);
    };
    follow();
    const stops = [store.onData(follow), store.onChange(follow)];
    return () => stops.forEach((stop) => stop());
  }, [store, view]);

  // A zoomed window of a long run is fetched again at its own resolution.
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = view.onWindow(() => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        feed.refine(view.zoom).catch((error: unknown) => console.warn('The window could not be refined:', error));
      }, 250);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [feed, view]);

  if (store.feedError instanceof ApiError && store.feedError.code === 'not_found' && store.feedPhase === 'failed') {
    return (
      <main className="blank">
        <h2>No run {followed.runId}</h2>
        <p>
          {store.feedError.message}{' '}
          {run
            ? 'It may have been deleted meanwhile.'
            : 'It may have been deleted. If it is about to start, it will appear here.'}
        </p>
        <Link href="/" className="button">
          All runs
        </Link>
      </main>
    );
  }
  if (store.isDeleted) {
    return (
      <main className="blank" role="alert" data-testid="run-deleted">
        <h2>{run ? `“${run.description.name}” was deleted` : 'This run was deleted'}</h2>
        <p>
          Nothing of <code>{followed.runId}</code> is stored any more: its events, commands and checkpoints are gone.
        </p>
        <Link href="/" className="button">
          All runs
        </Link>
      </main>
    );
  }
  if (!run) {
    return store.feedPhase === 'failed' ? (
      <main className="blank" role="alert">
        <h2>The run could not be loaded</h2>
        <p>{store.feedError instanceof Error ? store.feedError.message : String(store.feedError)} Trying again …</p>
      </main>
    ) : (
      <Loading what="the run" />
    );
  }
  return (
    <main className="live-page" data-phase={store.feedPhase} data-testid="live-page">
      <PanelBoundary what="The header">
        <RunHeader branches={branches} />
      </PanelBoundary>
      {run.state === 'failed' && (
        <PanelBoundary what="The reason for the failure">
          <FailureBanner />
        </PanelBoundary>
      )}
      <PanelBoundary what="The control bar">
        <ControlBar />
      </PanelBoundary>
      <PanelBoundary what="The state of the connection">
        <Notices />
      </PanelBoundary>
      <PanelBoundary what="The refused events">
        <RefusedNotice />
      </PanelBoundary>
      <PanelBoundary what="The branches of the run">
        <Family store={store} onBranches={setBranches} />
      </PanelBoundary>
      {session.state === 'open' && session.problem && (
        <p className="notice" data-kind="warn" role="alert">
          {session.problem}
        </p>
      )}
      <PanelBoundary what="Key figures">
        <KeyNumbers view={view} />
      </PanelBoundary>
      <PanelBoundary what="Guard rules">
        <RuleStrip />
      </PanelBoundary>
      <div className="live-grid">
        <PanelBoundary what="Charts">
          <RunCharts view={view} branches={branches} />
        </PanelBoundary>
        <aside className="live-side">
          <section className="panel" aria-labelledby="freeze-title">
            <header className="panel-head">
              <h2 id="freeze-title">What trains</h2>
            </header>
            <PanelBoundary what="The map of the model">
              <FreezeMap />
            </PanelBoundary>
          </section>
          <section className="panel timeline-panel" aria-labelledby="timeline-title">
            <PanelBoundary what="The timeline">
              <CommandTimeline view={view} />
            </PanelBoundary>
          </section>
          <PanelBoundary what="Settings">
            <RunSaid />
          </PanelBoundary>
        </aside>
      </div>
      <ZoomBadge view={view} />
    </main>
  );
}

/** Reads the branches and the history of the run's ancestors, and says why the history is missing. */
function Family({
  store,
  onBranches,
}: {
  store: RunStore;
  onBranches: (branches: readonly RunSummary[]) => void;
}): React.ReactNode {
  const { branches, problem } = useFamily(store);
  useEffect(() => onBranches(branches), [branches, onBranches]);
  return (
    problem && (
      <p className="notice" data-kind="warn" role="alert">
        The course before this branch could not be fetched: {problem}
      </p>
    )
  );
}

/** Says why the page is not live. */
function Notices(): React.ReactNode {
  const { store } = useRun();
  const connection = useConnection();
  if (connection.state === 'down')
    return (
      <p className="notice" data-kind="bad" role="alert">
        The hub has been unreachable since {formatClock(connection.sinceMs)}. {hubAwayWords(store.runSummary!.state)}
      </p>
    );
  if (store.feedPhase === 'failed')
    return (
      <p className="notice" data-kind="warn" role="alert">
        Some of this run could not be fetched: {store.feedError instanceof Error ? store.feedError.message : 'unknown'}{' '}
        Trying again …
      </p>
    );
  return null;
}
