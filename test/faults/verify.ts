import { isDeepStrictEqual } from 'node:util';
import type { CommandRecord } from '@plumbline/shared/command';
import type { HistoryResponse } from '@plumbline/shared/http';
import { fromWireNumber, wallTimeSeries } from '@plumbline/shared/metric';
import { hasEnded, type RunId } from '@plumbline/shared/run';
import { isMetricEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import type { Cluster } from '../support/cluster.js';
import type { HubClient } from '../support/hub-client.js';
import type { TrainerProcess } from './trainer-process.js';
import type { Given, Viewer } from './viewer.js';

/** The differences between the events of all trainers and the store. */
export interface Differences {
  /** Acknowledged events and accepted commands that are missing or changed. */
  lost: string[];
  /** Events that are stored twice, or that nobody sent. */
  duplicated: string[];
  appliedTwice: string[];
  /** Other contradictions. */
  other: string[];
}

export const noDifferences = (): Differences => ({ lost: [], duplicated: [], appliedTwice: [], other: [] });
const count = (found: Differences): number => Object.values(found).flat().length;

/**
 * Compares sent events, shown events and given commands with the stored ones, as reported by both hubs and by InfluxDB.
 */
export async function verify(
  cluster: Cluster,
  clients: readonly HubClient[],
  trainers: readonly TrainerProcess[],
  viewers: readonly Viewer[],
  given: readonly Given[],
): Promise<Differences> {
  const found = noDifferences();
  await checkPoints(cluster, trainers, found);
  for (const client of clients) for (const trainer of trainers) await checkRun(client, trainer, viewers, given, found);
  for (const viewer of viewers) found.other.push(...viewer.contradictions);
  return found;
}

/** Verifies repeatedly for up to a minute, so that messages in transit can arrive. */
export async function verifyInTime(...parts: Parameters<typeof verify>): Promise<Differences> {
  const endMs = performance.now() + 60_000;
  for (;;) {
    const found = await verify(...parts);
    if (count(found) === 0 || performance.now() > endMs) return found;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** Counts the points of each event in the bucket: a reader by event number would not see duplicates. */
async function checkPoints(cluster: Cluster, trainers: readonly TrainerProcess[], found: Differences): Promise<void> {
  const csv = await cluster.influx
    .query(`from(bucket: "${cluster.bucket}") |> range(start: 0, stop: 2262-01-01T00:00:00Z)
  |> filter(fn: (r) => r._measurement == "plumbline.event" and r._field == "seq")
  |> group() |> keep(columns: ["run", "_value"])`);
  const [header = '', ...lines] = csv.trim().split(/\r?\n/);
  const columns = header.split(',');
  const [runAt, seqAt] = [columns.indexOf('run'), columns.indexOf('_value')];
  const byRun = new Map<string, number[]>();
  for (const line of lines) {
    const cells = line.split(',');
    const seqs = byRun.get(cells[runAt]!) ?? [];
    byRun.set(cells[runAt]!, seqs);
    seqs.push(Number(cells[seqAt]));
  }
  for (const { runId, emitted, acknowledged } of trainers) {
    const seen = new Set<number>();
    for (const seq of byRun.get(runId) ?? []) {
      if (seen.has(seq)) found.duplicated.push(`${runId}: InfluxDB has event ${seq} twice`);
      if (!emitted.has(seq)) found.duplicated.push(`${runId}: InfluxDB has event ${seq}, which nobody sent`);
      seen.add(seq);
    }
    for (let seq = 1; seq <= acknowledged; seq++)
      if (!seen.has(seq)) found.lost.push(`${runId}: InfluxDB lacks event ${seq} of ${acknowledged}`);
  }
}

async function checkRun(
  client: HubClient,
  { runId, emitted, acknowledged, killed, lost }: TrainerProcess,
  viewers: readonly Viewer[],
  given: readonly Given[],
  found: Differences,
): Promise<void> {
  const at = `${runId} at ${client.hub.url}`;
  // A trainer that was killed before it attached has no run.
  if (acknowledged === 0 && killed) return;
  const [history, control, commands, run] = await Promise.all([
    client.history(runId),
    client.controlEvents(runId),
    client.commands(runId),
    client.run(runId),
  ]);
  const stored = new Map<number, TrainerEvent | { metrics: Record<string, number>; step: number }>(
    control.events.map((event) => [event.seq, event]),
  );
  if (stored.size !== control.events.length) found.duplicated.push(`${at}: a control event is there twice`);
  for (const [seq, point] of pointsOf(history, at, found)) stored.set(seq, point);

  for (const [seq, event] of emitted) {
    const there = stored.get(seq);
    if (!there && seq <= acknowledged) found.lost.push(`${at}: event ${seq} (${event.type})`);
    if (there && !isDeepStrictEqual(there, asStored(event)))
      found.lost.push(`${at}: event ${seq} is ${JSON.stringify(there)}, was ${JSON.stringify(event)}`);
  }
  for (const seq of stored.keys())
    if (!emitted.has(seq)) found.duplicated.push(`${at}: event ${seq}, which nobody sent`);
  for (let seq = 1; seq <= history.lastSeq; seq++) if (!stored.has(seq)) found.lost.push(`${at}: a hole at ${seq}`);
  for (const viewer of viewers)
    for (const [seq, event] of viewer.shown.get(runId) ?? []) {
      if (!stored.has(seq)) found.lost.push(`${at}: event ${seq} was shown to ${viewer.name} and is not stored`);
      if (!isDeepStrictEqual(event, emitted.get(seq)))
        found.other.push(`${at}: event ${seq} was shown to ${viewer.name} as ${JSON.stringify(event)}`);
    }
  if (!hasEnded(run.state)) found.other.push(`${at}: is ${run.state} after its trainer has gone`);
  else if ((run.state === 'failed') !== killed) found.other.push(`${at}: is ${run.state} (${run.reason})`);
  if (lost !== null) found.other.push(`${at}: its trainer gave up: ${lost}`);
  checkCommands(at, runId, emitted, acknowledged, commands, given, found);
}

function checkCommands(
  at: string,
  runId: RunId,
  emitted: ReadonlyMap<number, TrainerEvent>,
  acknowledged: number,
  records: readonly CommandRecord[],
  given: readonly Given[],
  found: Differences,
): void {
  const applied = new Map<string, number[]>();
  for (const event of emitted.values())
    if (event.type === 'command_applied')
      applied.set(event.commandId, [...(applied.get(event.commandId) ?? []), event.seq]);
  for (const [commandId, seqs] of applied)
    if (seqs.length > 1) found.appliedTwice.push(`${at}: ${commandId} by the events ${seqs.join(', ')}`);
  for (const { commandId, accepted } of given.filter((one) => one.runId === runId)) {
    const mine = records.filter((record) => record.commandId === commandId);
    if (mine.length > 1) found.duplicated.push(`${at}: command ${commandId} is in the log ${mine.length} times`);
    const [record] = mine;
    if (!record) {
      if (accepted) found.lost.push(`${at}: command ${commandId} was accepted and is not in the log`);
      continue;
    }
    const seq = applied.get(commandId)?.[0];
    if (record.state === 'pending') found.lost.push(`${at}: command ${commandId} never ended`);
    else if (record.state === 'applied' && seq === undefined)
      found.other.push(`${at}: command ${commandId} counts as applied, and was not`);
    else if (record.state !== 'applied' && seq !== undefined && seq <= acknowledged)
      found.other.push(
        `${at}: command ${commandId} was applied by event ${seq}, and is ${record.state} (${record.reason})`,
      );
  }
}

export function pointsOf(
  { series }: HistoryResponse,
  at: string,
  found: Differences,
): Map<number, { metrics: Record<string, number>; step: number }> {
  const points = new Map<number, { metrics: Record<string, number>; step: number }>();
  for (const [name, { seqs, steps, values, bucketSteps }] of Object.entries(series)) {
    if (bucketSteps > 0) throw new Error(`${at}: ${name} has more points than one answer holds; give fewer faults.`);
    if (new Set(seqs).size !== seqs.length) found.duplicated.push(`${at}: ${name} holds an event twice`);
    seqs.forEach((seq, i) => {
      const point = points.get(seq) ?? { metrics: {}, step: steps[i]! };
      points.set(seq, point);
      if (point.step !== steps[i]) found.duplicated.push(`${at}: event ${seq} is there at two steps`);
      point.metrics[name] = fromWireNumber(values[i]!);
    });
  }
  return points;
}

/** An event in the form of its stored version. */
export function asStored(event: TrainerEvent): unknown {
  if (!isMetricEvent(event)) return event;
  const metrics = Object.fromEntries(
    Object.entries(event.metrics).map(([name, value]) => [name, fromWireNumber(value)]),
  );
  if (event.type === 'step_completed') metrics[wallTimeSeries] = event.wallTimeMs;
  return { metrics, step: event.step };
}
