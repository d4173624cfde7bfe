import { setTimeout as sleep } from 'node:timers/promises';
import { recordOf } from '@plumbline/shared/record';
import type { HistoryResponse, WireSeries } from '@plumbline/shared/http';
import type { WireNumber } from '@plumbline/shared/metric';
import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import type { RunOverview } from '@plumbline/shared/run-list';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { HubApi } from '../hub-api.js';
import { isPassing } from './give-command.js';
import { keyMetrics, metricQuery } from './key-metrics.js';

/** The values of one event. */
export interface MetricsLine {
  type: 'metrics';
  seq: number;
  step: number;
  metrics: Record<string, WireNumber>;
}
export type RunLine = MetricsLine | ControlEvent;

export interface FollowOptions {
  /** First step. */
  fromStep: number;
  /** Names of series; by default the key series and the headline series of the run. */
  metrics?: readonly string[];
  signal: AbortSignal;
  /** Called once each time the hub stops answering. */
  onAway: (error: Error) => void;
}

const keyNames = keyMetrics.map(({ name }) => name);
/** Polling interval. */
const askEveryMs = 500;
const askAgainMs = 1000;
/** Steps per request, so that no answer is thinned or too large. */
const stepsAtOnce = 20_000;

/**
 * Yields the events of a run in order, each once, until it has ended. Resumes where it left off when the hub was away.
 * @returns the ended run; null when the signal came first
 * @throws HubRefusal when the run is deleted meanwhile
 */
export async function* followRun(
  hub: HubApi,
  runId: RunId,
  { fromStep, metrics: asked, signal, onAway }: FollowOptions,
): AsyncGenerator<RunLine, RunSummary | null> {
  /** Everything up to this event, and before this step, was yielded. */
  let told = { seq: 0, step: fromStep };
  let metrics = asked ?? keyNames;
  let isAway = false;
  while (!signal.aborted) {
    try {
      const run = await hub.run(runId);
      isAway = false;
      // Steps repeat from where a segment began.
      for (const { seq, fromStep: step } of run.segments ?? [])
        if (seq > told.seq) told = { ...told, step: Math.min(told.step, step) };
      const overview = asked ? null : await overviewOf(hub, runId);
      if (overview) metrics = [...new Set([...keyNames, ...overview.series.map(({ name }) => name)])];
      // Later events may make a headline of another series.
      const lastSeq = overview && !hasEnded(run.state) ? Math.min(run.lastSeq, overview.lastSeq) : run.lastSeq;
      if (lastSeq > told.seq) {
        const { lines, upTo } = await readOn(hub, run, told, metrics, lastSeq);
        // Updated before yielding: a consumer that stops here never resumes this generator.
        told = upTo;
        yield* lines;
        continue;
      }
      if (hasEnded(run.state)) return run;
    } catch (error) {
      if (!isPassing(error)) throw error;
      if (!isAway) onAway(error as Error);
      isAway = true;
    }
    await sleep(isAway ? askAgainMs : askEveryMs, undefined, { signal }).catch(() => undefined);
  }
  return null;
}

/** The overview of a run; null where the hub has not read it yet. */
async function overviewOf(hub: HubApi, runId: RunId): Promise<RunOverview | null> {
  return (await hub.runPage(`run=${runId}`)).runs[0]?.overview ?? null;
}

/** Fetches what follows up to an event, at most `stepsAtOnce` steps. */
async function readOn(
  hub: HubApi,
  { runId, lastStep }: RunSummary,
  told: { seq: number; step: number },
  metrics: readonly string[],
  lastSeq: number,
): Promise<{ lines: RunLine[]; upTo: typeof told }> {
  const toStep = told.step + stepsAtOnce;
  const query = `${metricQuery(metrics)}&fromStep=${told.step}&toStep=${toStep}&maxPoints=100000`;
  const [history, control] = await Promise.all([
    hub.get<HistoryResponse>(`/runs/${runId}/history?${query}`),
    hub.controlEvents(runId),
  ]);
  const seq = Math.min(lastSeq, history.lastSeq, control.lastSeq);
  const lines = [...metricLines(metrics, history.series), ...control.events]
    .filter((line) => line.seq > told.seq && line.seq <= seq && line.step >= told.step && line.step <= toStep)
    .sort((a, b) => a.seq - b.seq);
  const last = lines.at(-1);
  // Within a segment steps do not go back, so that all of the next part comes after this one.
  const upTo =
    lastStep > toStep ? { seq: last?.seq ?? told.seq, step: toStep + 1 } : { seq, step: last?.step ?? told.step };
  return { lines, upTo };
}

/** Groups the values of several series by event, in the order of the names. */
function metricLines(names: readonly string[], series: Record<string, WireSeries>): MetricsLine[] {
  const bySeq = new Map<number, MetricsLine>();
  for (const name of names) {
    if (!Object.hasOwn(series, name)) continue;
    const { seqs, steps, values } = series[name]!;
    seqs.forEach((seq, index) => {
      const line = bySeq.get(seq) ?? { type: 'metrics', seq, step: steps[index]!, metrics: recordOf<WireNumber>() };
      bySeq.set(seq, line);
      line.metrics[name] = values[index]!;
    });
  }
  return [...bySeq.values()];
}
