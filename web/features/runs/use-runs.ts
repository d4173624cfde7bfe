'use client';
import { useEffect, useState } from 'react';
import type { CommandRecord } from '@plumbline/shared/command';
import { metrics, targetAccuracy } from '@plumbline/shared/metric';
import { targetNames } from '@plumbline/shared/run-description';
import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import { api } from '../../lib/api';
import { hubSocket } from '../../lib/hub-socket';
import { refresh } from '../../lib/refresh';
import { RunList } from '../../lib/run-list';
import { ancestorsOf, readTakenOver } from '../../lib/run-past';
import { SeriesBuffer } from '../../lib/series-buffer';
import { useConnection, useSession } from '../../lib/use-hub';

/** All runs, kept up to date by the hub's word; null until the first answer. */
export function useRuns(): { runs: RunSummary[] | null; error: string } {
  const [runs, setRuns] = useState<RunSummary[] | null>(null);
  const [error, setError] = useState('');
  const session = useSession();
  const connection = useConnection();
  useEffect(() => {
    if (session.state === 'opening') return;
    let gone = false;
    const list = new RunList();
    let showing: ReturnType<typeof setTimeout> | undefined;
    const show = (): void => {
      // Of many runs many are told of at once: they are drawn together.
      showing ??= setTimeout(() => {
        showing = undefined;
        list.drop((run) => hubSocket.isGone(run));
        if (list.runs) setRuns(list.runs);
      }, showMs);
    };
    // Listen first, then fetch: a run that starts in between is in one of both, and one that is deleted in neither.
    const stops = [
      hubSocket.onRun((run) => {
        list.heard(run);
        show();
      }),
      hubSocket.onRunDeleted(show),
    ];
    list.asked();
    api.runs().then(
      (all) => {
        if (gone) return;
        list.answered(all);
        show();
        setError('');
      },
      (reason: unknown) => !gone && setError(reason instanceof Error ? reason.message : String(reason)),
    );
    return () => {
      gone = true;
      clearTimeout(showing);
      for (const stop of stops) stop();
    };
  }, [session, connection.state]);
  return { runs, error };
}

export interface RunNumbers {
  loss: SeriesBuffer;
  /** Accuracy of each task that the run teaches, in the order in which it teaches them. */
  targets: readonly { task: string; series: SeriesBuffer }[];
  heldOut: SeriesBuffer;
  bias: SeriesBuffer;
  commands: readonly CommandRecord[];
}
const maxPoints = 200;
const showMs = 100;
const refreshMs = 3000;

/** A run's latest key numbers with their course; fetched again three seconds after they came, while it goes on. */
export function useRunNumbers(run: RunSummary): RunNumbers | null {
  const [numbers, setNumbers] = useState<RunNumbers | null>(null);
  const { runId, lastSeq, state } = run;
  const { probeEverySteps } = run.description;
  const tasks = targetNames(run.description, []);
  const going = !hasEnded(state);
  useEffect(
    () => refresh(() => fetchNumbers(runId, tasks, probeEverySteps ?? 1), setNumbers, refreshMs, !going),
    [runId, tasks.join(), probeEverySteps, state, going ? 0 : lastSeq],
  );
  return numbers;
}

const none: readonly CommandRecord[] = [];

/** What a branch goes on under of what was changed before it began; none for a run from the base model. */
export function useTakenOver(run: RunSummary, runs: readonly RunSummary[]): readonly CommandRecord[] {
  const [takenOver, setTakenOver] = useState(none);
  const ancestors = ancestorsOf(run, runs);
  useEffect(() => {
    if (ancestors.length === 0) return;
    let gone = false;
    readTakenOver(run, ancestors, api).then(
      (records) => !gone && setTakenOver(records),
      // As with the numbers: the connection's state tells of a hub that is gone.
      () => undefined,
    );
    return () => {
      gone = true;
    };
    // What lies before a checkpoint changes no more.
  }, [run.runId, ancestors.map(({ runId }) => runId).join()]);
  return takenOver;
}

async function fetchNumbers(runId: RunId, tasks: readonly string[], probeEverySteps: number): Promise<RunNumbers> {
  const names = [metrics.loss, metrics.heldOutMean, metrics.numberTokensHeldOut, ...tasks.map(targetAccuracy)];
  const [{ series }, commands] = await Promise.all([
    api.history(runId, { metrics: names, maxPoints }),
    api.commands(runId),
  ]);
  const bufferOf = (name: string): SeriesBuffer => {
    const buffer = new SeriesBuffer(name === metrics.loss ? 1 : probeEverySteps);
    const fetched = series[name];
    if (fetched) buffer.merge(fetched);
    return buffer;
  };
  return {
    loss: bufferOf(metrics.loss),
    targets: tasks.map((task) => ({ task, series: bufferOf(targetAccuracy(task)) })),
    heldOut: bufferOf(metrics.heldOutMean),
    bias: bufferOf(metrics.numberTokensHeldOut),
    commands,
  };
}
