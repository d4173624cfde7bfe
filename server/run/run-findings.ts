import { ruleOf } from '@plumbline/shared/rule';
import type { CommandRecord } from '@plumbline/shared/command';
import { settingKinds } from '@plumbline/shared/command-change';
import { fromWireNumber, isMeasured, metrics, targetAccuracy } from '@plumbline/shared/metric';
import { fewestThinnedPoints } from '@plumbline/shared/request-limits';
import type { RunSummary } from '@plumbline/shared/run';
import { maxStages } from '@plumbline/shared/limits';
import { targetNames } from '@plumbline/shared/run-tasks';
import { declarationsOf, isLoss } from '@plumbline/shared/series-facts';
import type { SeriesDeclaration } from '@plumbline/shared/series';
import { stagesOf, type Stage } from '@plumbline/shared/stage';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { followedSeries, notJudged } from '../analysis/declared-series.js';
import type { Finding, MetricSeries } from '../analysis/finding.js';
import { findingParts, type Averages } from '../analysis/findings.js';
import { commandFacts, toRunChange, type CommandFacts, type RunChange } from '../analysis/run-change.js';
import type { EventStore, Series } from '../store/event-store.js';
import { inTurns, Turn } from '../turn.js';
import { eachOutline } from './control-events.js';
import { storedInForce } from './events-in-force.js';
import { Mailbox } from './mailbox.js';
import { Refusal } from './refusal.js';

type Store = Pick<EventStore, 'eachSeries' | 'history' | 'windows' | 'eachControlEvents' | 'eachCommands'>;
type Run = Pick<RunSummary, 'runId' | 'description' | 'state' | 'parent' | 'segments'>;

/** Points of a series whose whole curve matters: enough for two million steps with a probe every 40. */
const coursePoints = 50_000;
/** Losses that were not finite and whose whole curve is read. */
const mostBrokenLosses = 10;
/** Bounds of what findings are made from beside series. */
const maxChanges = 20_000;
const maxChangeBytes = 16 * 2 ** 20;

/**
 * Explains a stored run in findings. Its memory is bounded for any length of the run: it reads the ends and extremes of most
 * series, and up to `coursePoints` points of those whose whole curve matters. For longer runs, correlations and slopes use
 * means over windows of steps.
 * @param signal ends the reading
 * @throws Refusal `invalid` for a run with too many commands
 */
export function runFindings(store: Store, run: Run, signal?: AbortSignal): Promise<Finding[]> {
  return judging.post(() => {
    signal?.throwIfAborted();
    return judge(store, run, signal);
  });
}

/** Runs are judged one at a time: one of 50,000 series takes up to 100 MB. */
const judging = new Mailbox();

async function judge(store: Store, run: Run, signal: AbortSignal | undefined): Promise<Finding[]> {
  const { runId } = run;
  const series = new Map<string, MetricSeries>();
  await store.eachSeries(
    runId,
    { segments: run.segments, maxPoints: fewestThinnedPoints },
    (name, course) => void series.set(name, seriesOf(course)),
    signal,
  );
  const { changes, declared, questionsPerTask, commands } = await readChanges(store, run, signal);
  const turn = new Turn();
  const followed = followedSeries(declared.values(), series, run.description).map(({ name }) => name);
  const averages = await readCourses(store, run, stagesOf(run.description, changes), followed, series, signal);
  await readBrokenLosses(store, run, declared, series, signal);
  const found: Finding[] = [];
  for (const part of findingParts(series, changes, questionsPerTask, run, commands, averages, declared)) {
    found.push(...part);
    if (turn.isOver) await turn.next();
    signal?.throwIfAborted();
  }
  await turn.next();
  found.push(...notJudged(series, changes, run.description, declared));
  return found;
}

const seriesOf = ({ steps, values, bucketSteps }: Series): MetricSeries => ({
  ...{ steps, values },
  ...(bucketSteps > 0 && { isThinned: true }),
});

/** Replaces the outlines of losses that were not finite by their whole curves, so that findings can count such values. */
async function readBrokenLosses(
  store: Store,
  { runId, segments }: Run,
  declared: ReadonlyMap<string, SeriesDeclaration>,
  series: Map<string, MetricSeries>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const broken: string[] = [];
  for (const [name, { values, isThinned }] of series) {
    if (broken.length === mostBrokenLosses) break;
    if (isThinned && isLoss(declared.get(name) ?? { name }) && !Array.from(values).every(isMeasured)) broken.push(name);
  }
  if (broken.length === 0) return;
  const courses = await store.history(runId, { metrics: broken, segments, maxPoints: coursePoints }, signal);
  for (const [name, course] of courses.series) series.set(name, seriesOf(course));
}

/**
 * Replaces the outlines of series by their whole curves where findings need them.
 * @param followed the series to judge interventions by
 * @returns means over windows of steps, for thinned curves
 */
async function readCourses(
  store: Store,
  { runId, description, segments }: Run,
  stages: readonly Stage[],
  followed: readonly string[],
  series: Map<string, MetricSeries>,
  signal: AbortSignal | undefined,
): Promise<Averages | undefined> {
  const targets = targetNames(description, series.keys()).map(targetAccuracy);
  const averaged = [...new Set([metrics.heldOutMean, metrics.numberTokensHeldOut, ...followed])];
  const names = [...new Set([...averaged, ...targets])];
  const courses = await store.history(runId, { metrics: names, segments, maxPoints: coursePoints }, signal);
  for (const [name, course] of courses.series) series.set(name, seriesOf(course));
  const width = Math.max(0, ...[...courses.series.values()].map(({ bucketSteps }) => bucketSteps));
  if (width === 0) return undefined;
  // A thinned series may lack the value at the end of a stage, so each stage is read separately. One after another: reads
  // of a thousand stages at once would occupy the store.
  const ofStages: Awaited<ReturnType<Store['history']>>[] = [];
  for (const { index, firstStep, lastStep } of stages.slice(-maxStages)) {
    const range = {
      ...{ metrics: targets, segments, fromStep: index === 0 ? 0 : firstStep + 1 },
      ...(Number.isFinite(lastStep) && { toStep: lastStep }),
      maxPoints: Math.max(fewestThinnedPoints, Math.floor(coursePoints / Math.min(maxStages, stages.length))),
    };
    ofStages.push(await store.history(runId, range, signal));
  }
  if (ofStages.length > 0)
    for (const name of targets) series.set(name, joined(ofStages.flatMap((stage) => stage.series.get(name) ?? [])));
  const windows = await store.windows(runId, { metrics: averaged, segments, everySteps: width }, signal);
  return {
    everySteps: width,
    series: new Map([...windows].map(([name, { fromSteps, means }]) => [name, { steps: fromSteps, values: means }])),
  };
}

const joined = (parts: readonly Series[]): MetricSeries => ({
  steps: Float64Array.from(parts.flatMap(({ steps }) => [...steps])),
  values: Float64Array.from(parts.flatMap(({ values }) => [...values])),
});

/** The events and commands that findings use. */
async function readChanges(
  store: Store,
  run: Run,
  signal: AbortSignal | undefined,
): Promise<{
  changes: RunChange[];
  declared: Map<string, SeriesDeclaration>;
  questionsPerTask: number;
  commands: CommandFacts[];
}> {
  const { runId } = run;
  let [count, bytes] = [0, 0];
  const keep = <T>(list: T[], entry: T, length: number): void => {
    count++;
    bytes += length;
    if (count > maxChanges || bytes > maxChangeBytes)
      throw new Refusal(
        'invalid',
        `Findings are made of at most ${maxChanges} changes by commands, or ${maxChangeBytes / 2 ** 20} MiB of them; ` +
          `the run ${runId} has more. Read them at /api/runs/${runId}/events.`,
      );
    list.push(entry);
  };
  const changes: RunChange[] = [];
  const declared = new Map<string, SeriesDeclaration>();
  const declare = inTurns((series: SeriesDeclaration) => void declared.set(series.name, series));
  const asChange = toRunChange();
  const isInForce = await storedInForce(store, run, signal);
  await eachOutline(
    store,
    runId,
    async (event, text) => {
      if (!isInForce(event)) return;
      await declare(declarationsOf(event));
      // The event after a change of the trainable parameters names its command.
      if (told.has(event.type) || changes.at(-1)?.type === 'trainable_changed')
        keep(changes, asChange(event), unbounded.has(event.type) ? 0 : text.length);
    },
    { ...(signal && { signal }) },
  );
  const commands: CommandFacts[] = [];
  await store.eachCommands(
    runId,
    inTurns((text: string) => {
      const record = JSON.parse(text) as CommandRecord;
      if (ruleOf(record.author) !== undefined || setting.has(record.action.kind))
        keep(commands, commandFacts(record), 0);
    }),
    signal,
  );
  return { changes, declared, questionsPerTask: questionsPerTask(changes), commands };
}

const told: ReadonlySet<ControlEvent['type']> = new Set([
  ...(['run_started', 'series_declared', 'stage_started', 'trainable_changed', 'command_applied'] as const),
]);

/**
 * Events whose text does not count. A run has one description of its model, of up to 30 MB, and may have many changes of
 * what is trained, whose names are not kept.
 */
const unbounded: ReadonlySet<ControlEvent['type']> = new Set(['run_started', 'trainable_changed']);

/** Commands whose effect an event may not tell. */
const setting: ReadonlySet<string> = new Set(settingKinds);

function questionsPerTask(events: readonly RunChange[]): number {
  const start = events.find((event) => event.type === 'run_started');
  const given = start?.type === 'run_started' ? start.baseline[metrics.questionsPerTask] : undefined;
  // An unknown number of questions counts as many, so that the noise is not overestimated.
  return given === undefined ? 1000 : fromWireNumber(given);
}
