'use client';
import { createContext, useContext, useEffect, useState, useSyncExternalStore } from 'react';
import type { RunId } from '@plumbline/shared/run';
import { CommandDesk } from '../../lib/command-desk';
import { hubSocket } from '../../lib/hub-socket';
import { refresh } from '../../lib/refresh';
import { RunFeed } from '../../lib/run-feed';
import { RunStore } from '../../lib/run-store';

/** The pause before the list of series is fetched again after a failure. */
const listAgainMs = 3000;

/** A followed run: its data, and the desk that gives commands to it. */
export interface FollowedRun {
  runId: RunId;
  store: RunStore;
  feed: RunFeed;
  desk: CommandDesk;
}

/** Follows a run while the component is mounted; null for a moment at the start. */
export function useFollowedRun(runId: RunId | null): FollowedRun | null {
  const [followed, setFollowed] = useState<FollowedRun | null>(null);
  useEffect(() => {
    if (!runId) return;
    const store = new RunStore();
    const feed = new RunFeed(runId, hubSocket, store);
    const desk = new CommandDesk(hubSocket, (record) => store.commands([record]));
    setFollowed({ runId, store, feed, desk });
    return () => {
      feed.close();
      setFollowed(null);
    };
  }, [runId]);
  return followed;
}

export const RunContext = createContext<FollowedRun | null>(null);

/** Keeps the last values of series, or of groups such as `drift/*`, up to date while the component shows them. */
export function useLastValues(names: readonly string[], isShown = true): void {
  const { store } = useFollowed();
  useEffect(
    () => (isShown && names.length > 0 ? store.demand.showLast(names) : undefined),
    [store, names.join('\n'), isShown],
  );
}
/** Keeps the whole course of series up to date while the component is mounted. */
export function useCourses(names: readonly string[]): void {
  const { store } = useFollowed();
  useEffect(() => (names.length > 0 ? store.demand.draw(names) : undefined), [store, names.join('\n')]);
}
/** Fetches the list of all series while `isNeeded`. Declared series are known without it. */
export function useSeriesList(isNeeded: boolean): void {
  const { runId, store } = useFollowed();
  const asks = isNeeded && !store.isListed;
  useEffect(() => {
    if (!asks) return;
    return refresh(
      () => hubSocket.series(runId),
      (list) => store.seriesAre(list),
      listAgainMs,
      true,
    );
  }, [runId, store, asks]);
}

/** The run of this page. Renders again when the run changes. */
export function useRun(): FollowedRun {
  const followed = useFollowed();
  useSyncExternalStore(
    followed.store.onChange,
    () => followed.store.version,
    () => 0,
  );
  return followed;
}

function useFollowed(): FollowedRun {
  const followed = useContext(RunContext);
  if (!followed) throw new Error('useRun outside a run page');
  return followed;
}
