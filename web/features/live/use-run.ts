'use client';
import { createContext, useContext, useEffect, useState, useSyncExternalStore } from 'react';
import type { RunId } from '@plumbline/shared/run';
import { CommandDesk } from '../../lib/command-desk';
import { hubSocket } from '../../lib/hub-socket';
import { RunFeed } from '../../lib/run-feed';
import { RunStore } from '../../lib/run-store';

/** One run being followed: its data, and the desk where commands to it are given. */
export interface FollowedRun {
  runId: RunId;
  store: RunStore;
  feed: RunFeed;
  desk: CommandDesk;
}

/** Follows a run for as long as the component is there; null for one moment at the start. */
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

/** Has the last values of series, or groups of series as `drift/*`, while the component shows them. */
export function useLastValues(names: readonly string[], isShown = true): void {
  const { store } = useFollowed();
  useEffect(
    () => (isShown && names.length > 0 ? store.demand.showLast(names) : undefined),
    [store, names.join('\n'), isShown],
  );
}
/** Has the whole course of series while the component is there. */
export function useCourses(names: readonly string[]): void {
  const { store } = useFollowed();
  useEffect(() => (names.length > 0 ? store.demand.draw(names) : undefined), [store, names.join('\n')]);
}
/** Has the list of all series while `isNeeded`: what was declared comes without it. */
export function useSeriesList(isNeeded: boolean): void {
  const { runId, store } = useFollowed();
  const asks = isNeeded && !store.isListed;
  useEffect(() => {
    if (!asks) return;
    let isOver = false;
    hubSocket.series(runId).then(
      (list) => !isOver && store.seriesAre(list),
      (error: unknown) => console.warn('The list of series could not be fetched:', error),
    );
    return () => {
      isOver = true;
    };
  }, [runId, store, asks]);
}

/** The run of this page; renders again when what components may see of it changed. */
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
