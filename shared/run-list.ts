import { z } from 'zod';
import { CommandRecord } from './command.js';
import { MetricName, WireNumber } from './metric.js';
import { maxFamilies, maxListedRuns } from './request-limits.js';
import { RunId, RunState, RunSummary } from './run.js';
import { SeriesDeclaration } from './series.js';

/**
 * What runs are sorted by. `activity`: runs under way first, then those that ended last. `value:<series>`: the last value
 * of a headline series; runs without one come last, whatever the order.
 */
const RunSort = z.union(
  [z.enum(['activity', 'created', 'name', 'state', 'last_step']), z.templateLiteral(['value:', z.string()])],
  'runs are sorted by activity, created, name, state, last_step or value:<series>',
);
export type RunSort = z.infer<typeof RunSort>;

const oneOrMore = <T extends z.ZodType>(one: T, most: number) =>
  z.union([one.transform((value) => [value]), z.array(one).max(most)]).optional();

/** GET /api/runs?state=running&text=count&sort=created&order=desc&limit=100 */
export const RunListQuery = z.object({
  /** Only runs in these states; repeated for several. */
  state: oneOrMore(RunState, 10),
  /** Only runs with this text in their name or id, ignoring case. */
  text: z.string().max(200).optional(),
  /** Only runs with this tag. */
  tag: z.string().min(1).max(200).optional(),
  /** Only these runs. */
  run: oneOrMore(RunId, 100),
  /** Only these runs, all their ancestors and all their descendants. */
  family: oneOrMore(RunId, maxFamilies),
  sort: RunSort.default('created'),
  order: z.enum(['asc', 'desc']).default('desc'),
  limit: z.coerce.number().int().min(1).max(maxListedRuns).default(maxListedRuns),
  /** `next` of the page before, asked for with the same sort and order. */
  cursor: z.string().max(2000).optional(),
});
export type RunListQuery = z.infer<typeof RunListQuery>;

/** The course of a headline series, thinned to a few dozen points: low, high and the first unmeasured point of equal stretches of steps. */
export const SeriesOverview = z.object({
  name: MetricName,
  /** As its trainer declared it. */
  label: SeriesDeclaration.shape.label,
  unit: SeriesDeclaration.shape.unit,
  /** The last value, with its step. */
  step: z.number(),
  value: WireNumber,
  /** In four digits; values that were not measured (NaN, infinite, overflows) are among them, to be marked. */
  steps: z.array(z.number()),
  values: z.array(WireNumber),
});
export type SeriesOverview = z.infer<typeof SeriesOverview>;

/** The content of a row in the list, beside the run's summary. */
export const RunOverview = z.object({
  /** It is complete up to this event. */
  lastSeq: z.number(),
  /** The headline series, most telling first. */
  series: z.array(SeriesOverview),
  /** The last few applied commands that changed the trainable parameters or the learning rate, oldest first. */
  changes: z.array(CommandRecord),
});
export type RunOverview = z.infer<typeof RunOverview>;

/** A run in a list; its overview is null until the hub has read it from the store. */
export const ListedRun = RunSummary.extend({ overview: RunOverview.nullable() });
export type ListedRun = z.infer<typeof ListedRun>;

/** GET /api/runs */
export const RunListResponse = z.object({
  runs: z.array(ListedRun),
  /** `cursor` of the next page; null on the last. */
  next: z.string().nullable(),
  /** The number of matching runs on all pages, and how many of them are under way. */
  total: z.number(),
  going: z.number(),
});
export type RunListResponse = z.infer<typeof RunListResponse>;
