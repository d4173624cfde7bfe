'use client';
import { useEffect, useMemo, useState } from 'react';
import type { RunSummary } from '@plumbline/shared/run';
import { hubSocket } from '../../lib/hub-socket';
import { ancestorsOf, branchesOf, followPast } from '../../lib/run-past';
import type { RunStore } from '../../lib/run-store';
import { useConnection } from '../../lib/use-hub';
import { useFamilies } from '../runs/use-runs';

const none: readonly never[] = [];

/** Returns the run's branches, and reads the history of its ancestors into its store. */
export function useFamily(store: RunStore): { branches: readonly RunSummary[]; problem: string } {
  const run = store.runSummary;
  const { runs } = useFamilies(run ? [run.runId] : none);
  const { problem } = usePast([store], runs ?? none);
  // The list of runs changes with every message about one of them; the branches rarely change.
  const branches: readonly RunSummary[] = run ? branchesOf(run, runs ?? none) : none;
  const key = branches.map(({ runId, state }) => `${runId} ${state}`).join();
  const steady = useMemo(() => branches, [key]);
  return { branches: steady, problem };
}

/** Reads the history of the runs' ancestors into their stores, each once its ancestors are known. */
export function usePast(stores: readonly RunStore[], runs: readonly RunSummary[]): { problem: string } {
  const [problem, setProblem] = useState('');
  const isConnected = useConnection().state === 'connected';
  const lineages = stores.map(({ runSummary: run }) =>
    run ? [run, ...ancestorsOf(run, runs)].map(({ runId }) => runId).join(' ') : '',
  );
  useEffect(() => {
    setProblem('');
    // Nothing can be read without the hub; the store keeps what was read.
    if (!isConnected) return;
    const failed = (error: unknown): void => setProblem(error instanceof Error ? error.message : String(error));
    const stops = stores.map((store) => {
      const run = store.runSummary;
      const ancestors = run ? ancestorsOf(run, runs) : [];
      return ancestors.length > 0 ? followPast(store, run!, ancestors, hubSocket, failed) : () => undefined;
    });
    return () => stops.forEach((stop) => stop());
    // A lineage names all runs that the past is read from. Runs and stores change far more often.
  }, [lineages.join(), isConnected]);
  return { problem };
}
