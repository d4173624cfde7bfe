'use client';
import { useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import type { CommandRecord } from '@plumbline/shared/command';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { ListedRun } from '@plumbline/shared/run-list';
import { api } from '../../lib/api';
import { hubSocket } from '../../lib/hub-socket';
import { RunLister, type ListQuery } from '../../lib/run-lister';
import { ancestorsOf, readTakenOver } from '../../lib/run-past';
import { sharedReads } from '../../lib/shared-reads';
import { useConnection, useSession } from '../../lib/use-hub';

/**
 * Runs from the hub, page by page, kept up to date.
 * @param isWhole whether to fetch all pages at once
 * @param isOff whether to fetch nothing
 */
export function useRunLister(query: ListQuery, isWhole = false, isOff = false): RunLister {
  const session = useSession();
  const connection = useConnection();
  const lister = useMemo(() => new RunLister(hubSocket, query, isWhole), [JSON.stringify(query), isWhole]);
  // Each connection fetches what was missed. Before the first one it would be fetched twice.
  const waits = isOff || session.state === 'opening' || connection.state === 'connecting';
  useEffect(() => (waits ? undefined : lister.start()), [lister, session, waits, connection.state]);
  useSyncExternalStore(
    lister.subscribe,
    () => lister.version,
    () => 0,
  );
  return lister;
}

/** Runs with their ancestors and branches; null until the first answer. */
export function useFamilies(runIds: readonly RunId[]): { runs: readonly ListedRun[] | null; error: string } {
  const { runs, error } = useRunLister({ family: runIds }, true, runIds.length === 0);
  return { runs: runIds.length === 0 ? none : runs, error };
}

const none: readonly never[] = [];

/** Reads of ancestors that all rows of a list share. A new branch begins new ones: they have what led to it. */
export function useSharedReads(runs: readonly RunSummary[] | null): Reads {
  const branches = (runs ?? []).flatMap(({ runId, parent }) => (parent ? [runId] : []));
  return useMemo(() => sharedReads(api), [branches.sort().join()]);
}
type Reads = ReturnType<typeof sharedReads>;

/**
 * The changes before a branch began that are in force in it; none for a run from the base model.
 * @param isOff asks for nothing yet
 */
export function useTakenOver(
  run: RunSummary,
  runs: readonly RunSummary[],
  reads: Reads,
  isOff: boolean,
): readonly CommandRecord[] {
  const [takenOver, setTakenOver] = useState<readonly CommandRecord[]>(none);
  const ancestors = isOff || !run.parent ? none : ancestorsOf(run, runs);
  useEffect(() => {
    if (ancestors.length === 0) return;
    let gone = false;
    readTakenOver(run, ancestors, reads).then(
      (records) => !gone && setTakenOver(records),
      // As with the list, the connection's state shows that the hub is away.
      () => undefined,
    );
    return () => {
      gone = true;
    };
    // Events before a checkpoint no longer change.
  }, [run.runId, ancestors.map(({ runId }) => runId).join()]);
  return takenOver;
}
