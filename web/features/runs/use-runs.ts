'use client';
import { useEffect, useState } from 'react';
import { metrics, targetAccuracy } from '@plumbline/shared/metric';
import { hasEnded, stageAt, type RunId, type RunSummary } from '@plumbline/shared/run';
import { api } from '../../lib/api';
import { changesOf, shortChangeWords } from '../../lib/changes';
import { hubSocket } from '../../lib/hub-socket';
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
    // Listen first, then fetch: a run that starts in between is in one of both.
    const stop = hubSocket.onRun((run) =>
      setRuns((now) => (now ? [run, ...now.filter((other) => other.runId !== run.runId)] : now)),
    );
    api.runs().then(
      (all) => {
        if (gone) return;
        setRuns(all);
        setError('');
      },
      (reason: unknown) => !gone && setError(reason instanceof Error ? reason.message : String(reason)),
    );
    return () => {
      gone = true;
      stop();
    };
  }, [session, connection.state]);
  return { runs, error };
}

export interface RunNumbers {
  loss: SeriesBuffer;
  target: SeriesBuffer;
  heldOut: SeriesBuffer;
  kl: SeriesBuffer;
  bias: SeriesBuffer;
  /** What was changed in mid-run, in a few words each. */
  changes: string[];
}
const maxPoints = 200;
const refreshMs = 3000;

/** A run's latest key numbers with their course; fetched again at most every three seconds while it goes on. */
export function useRunNumbers(run: RunSummary): RunNumbers | null {
  const [numbers, setNumbers] = useState<RunNumbers | null>(null);
  const { runId, lastSeq, state } = run;
  const { task } = stageAt(run.config, run.lastStep);
  const { probeEverySteps } = run.config;
  const going = !hasEnded(state);
  const [beat, setBeat] = useState(0);
  useEffect(() => {
    if (!going) return;
    const timer = setInterval(() => setBeat((now) => now + 1), refreshMs);
    return () => clearInterval(timer);
  }, [going]);
  useEffect(() => {
    let gone = false;
    fetchNumbers(runId, task, probeEverySteps).then(
      (fresh) => !gone && setNumbers(fresh),
      // The row stays as it is: the connection's state, always in sight, tells of a hub that is gone.
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, [runId, task, probeEverySteps, beat, state, going ? 0 : lastSeq]);
  return numbers;
}

async function fetchNumbers(runId: RunId, task: string, probeEverySteps: number): Promise<RunNumbers> {
  const names = [metrics.loss, targetAccuracy(task), metrics.heldOutMean, metrics.kl, metrics.numberTokensHeldOut];
  const [{ series }, commands] = await Promise.all([
    api.history(runId, { metrics: names, maxPoints }),
    api.commands(runId),
  ]);
  const [loss, target, heldOut, kl, bias] = names.map((name) => {
    const buffer = new SeriesBuffer(name === metrics.loss ? 1 : probeEverySteps);
    const fetched = series[name];
    if (fetched) buffer.merge(fetched);
    return buffer;
  }) as [SeriesBuffer, SeriesBuffer, SeriesBuffer, SeriesBuffer, SeriesBuffer];
  return { loss, target, heldOut, kl, bias, changes: changesOf(commands).map(shortChangeWords) };
}
