import { z } from 'zod';
import type { LargeEvent } from './large-event.js';
import { maxMetricNameLength } from './limits.js';
import { fewestThinnedPoints } from './request-limits.js';
import { MetricName, WireNumber } from './metric.js';
import { CheckpointId, RunId, RunSummary } from './run.js';
import { AskedCommand, CommandRecord } from './command.js';
import { knownOnly } from './known-only.js';
import { RuleState } from './rule.js';
import type { ControlEvent } from './trainer-event.js';
import { SeriesNames, type WireError } from './socket.js';

/** Body of every answer that is not 2xx. */
export interface ErrorBody {
  error: WireError;
}

/**
 * GET /readyz: 200, or 503 if the hub cannot work. Both list all problems with their remedies. With 200 these are problems
 * that the hub works around, such as an InfluxDB that is down while the spool accepts events.
 */
export interface ReadinessResponse {
  ready: boolean;
  /** Empty for those who may not watch. */
  problems: WireError[];
}

/** POST /api/session: a one-time link's token for a session cookie. GET tells what this browser may do. */
export const SessionRequest = z.object({ token: z.string().min(1).max(200) });
export const SessionInfo = z.object({
  mayControl: z.boolean(),
  /** Whether this browser may see the runs. */
  mayWatch: z.boolean(),
  /** How to get the right to control runs, or to watch them, where this browser lacks it. */
  howToControl: z.string().optional(),
});
export type SessionInfo = z.infer<typeof SessionInfo>;

/** GET /api/runs/:runId */
export const RunResponse = z.object({ run: RunSummary });
export type RunResponse = z.infer<typeof RunResponse>;

/** DELETE /api/runs/:runId -> what was deleted for good. Delete branches before their parent. */
export const DeletedRun = z.object({
  runId: RunId,
  /** Events that were stored of it. */
  events: z.number().int().nonnegative(),
  /** Bytes of its checkpoints and logs in the data folder of the hub that was asked. */
  bytes: z.number().int().nonnegative(),
});
export type DeletedRun = z.infer<typeof DeletedRun>;

/** A parameter that may be repeated: a single value arrives as itself. */
const repeated = <One extends z.ZodType<string>>(one: One, several: z.ZodType<z.infer<One>[]>) =>
  z.union([one, several]).transform((given) => [given].flat() as z.infer<One>[]);
const metricNames = repeated(MetricName, z.array(MetricName).max(2000)).optional();
const stepRange = {
  fromStep: z.coerce.number().int().nonnegative().optional(),
  toStep: z.coerce.number().int().nonnegative().optional(),
};

/** GET /api/runs/:runId/history?metric=train/loss&metric=shift/kl&fromStep=0&toStep=400&maxPoints=1500 */
export const HistoryQuery = z.object({
  /** Names, repeated; none means every metric of the run. */
  metric: metricNames,
  ...stepRange,
  /** Upper bound of points a series; the smallest and largest value of each bucket are always kept. */
  maxPoints: z.coerce.number().int().min(fewestThinnedPoints).max(100_000).default(2000),
});
export type HistoryQuery = z.infer<typeof HistoryQuery>;

/** GET /api/runs/:runId/latest?metric=shift/kl&metric=drift/*: the last point of each; `*` at the end names a group. */
export const LatestQuery = z.object({
  metric: repeated(
    z
      .string()
      .min(1)
      .max(maxMetricNameLength + 1),
    SeriesNames,
  ),
});
export type LatestQuery = z.infer<typeof LatestQuery>;

/** Columnar: `values[i]` was measured at `steps[i]` by event `seqs[i]`; ascending by seq. For times: `wallTimeSeries`. */
export const WireSeries = z.object({
  steps: z.array(z.number()),
  seqs: z.array(z.number()),
  values: z.array(WireNumber),
  /** Width in steps of the buckets that it was thinned by; 0 when it is whole. */
  bucketSteps: z.number(),
});
export type WireSeries = z.infer<typeof WireSeries>;
export interface HistoryResponse {
  runId: RunId;
  /** Everything up to this event number is in the answer. */
  lastSeq: number;
  series: Record<string, WireSeries>;
}

/** GET /api/runs/:runId/windows?metric=train/loss&everySteps=100: statistics of the finite values in windows of steps. */
export const WindowsQuery = z.object({
  metric: metricNames,
  ...stepRange,
  /** Without it one window holds the whole range. */
  everySteps: z.coerce.number().int().positive().optional(),
});
export type WindowsQuery = z.infer<typeof WindowsQuery>;
export interface WindowsResponse {
  runId: RunId;
  series: Record<string, Record<'fromSteps' | 'counts' | 'minima' | 'maxima' | 'means' | 'lasts', number[]>>;
}

/** GET /api/runs/:runId/findings: sentences about what happened, each with its numbers. */
export interface FindingsResponse {
  runId: RunId;
  findings: { kind: string; step: number; text: string; values: Record<string, number> }[];
}

/** GET /api/compare?run=A&run=B&metric=shift/kl&fromStep=100 */
export const CompareQuery = z.object({
  run: repeated(RunId, z.array(RunId).max(20)),
  metric: metricNames,
  ...stepRange,
});
export type CompareQuery = z.infer<typeof CompareQuery>;
export interface CompareResponse {
  runs: {
    run: RunSummary;
    metrics: Record<string, { count: number; min: number; max: number; mean: number; last: number }>;
  }[];
}

/** GET /api/runs/:runId/events -> control events, ascending: starts, pauses, commands' ends, checkpoints; no large ones. */
export interface ControlEventsResponse {
  runId: RunId;
  lastSeq: number;
  events: ControlEvent[];
}

/**
 * GET /api/runs/:runId/token-shifts?toStep=400&newest=1 and /api/runs/:runId/examples?beforeSeq=1200: the newest events of
 * a range of steps. Pictures come as they were sent, in base64 within the JSON.
 */
export const LargeEventsQuery = z.object({
  ...stepRange,
  /** Only events whose number is below this: the first number of an answer, to ask for those before it. */
  beforeSeq: z.coerce.number().int().positive().optional(),
  newest: z.coerce.number().int().min(1).max(200).default(20),
  /** Of all events together, as JSON; the newest one comes whatever its size. */
  maxBytes: z.coerce
    .number()
    .int()
    .positive()
    .max(32 * 2 ** 20)
    .default(8 * 2 ** 20),
});
export type LargeEventsQuery = z.infer<typeof LargeEventsQuery>;
export interface LargeEventsResponse<E extends LargeEvent> {
  runId: RunId;
  lastSeq: number;
  /** Ascending by number. */
  events: E[];
  /** The number of earlier events of the range that are not in the answer. */
  earlier: number;
}

/** GET /api/runs/:runId/checkpoints -> the checkpoints that the run can restore, in the order of saving. */
export const CheckpointsResponse = z.object({
  checkpoints: z.array(
    z.object({
      checkpointId: CheckpointId,
      step: z.number().int().nonnegative(),
      /** Whether this hub's data folder holds it. The checkpoints of an imported run stay where it was trained. */
      isHere: z.boolean(),
    }),
  ),
});
export type CheckpointsResponse = z.infer<typeof CheckpointsResponse>;

/** GET /api/runs/:runId/export -> all of a run, one JSON value a line: what `plumbline export --format jsonl` writes. */

/** GET /api/runs/:runId/commands -> the audit log, oldest first. */
export const CommandsResponse = z.object({ commands: z.array(CommandRecord) });
export type CommandsResponse = z.infer<typeof CommandsResponse>;

/**
 * POST /api/runs/:runId/commands: gives a command; the caller makes its id. Allowed for a browser with a session and for a
 * program with the trainer token as `Authorization: Bearer`. The body may name the run too.
 */
export const GiveCommandRequest = knownOnly(AskedCommand.extend({ runId: RunId.optional() }));
export type GiveCommandRequest = z.infer<typeof GiveCommandRequest>;

export const maxCommandWaitMs = 60_000;
/** How long to wait for the command's end, for POST and for GET /api/runs/:runId/commands/:commandId. */
export const GiveCommandQuery = z.object({ waitMs: z.coerce.number().int().min(0).max(maxCommandWaitMs).default(0) });

/** The command's line of the audit log. Status 202 while it is pending, 200 once it has ended in any way. */
export const CommandResponse = z.object({ command: CommandRecord });
export type CommandResponse = z.infer<typeof CommandResponse>;

/** What `plumbline` calls itself, with its version: `User-Agent: plumbline-cli/0.1.0`. */
export const cliUserAgent = 'plumbline-cli';

/** GET /api/runs/:runId/rules -> the guard rules of the run, in their order, each with its state. */
export const RulesResponse = z.object({ rules: z.array(RuleState) });
export type RulesResponse = z.infer<typeof RulesResponse>;

/** An estimate in percent, or in percentage points where it is a difference, with its 95 % interval. */
export interface PercentInterval {
  estimate: number;
  low: number;
  high: number;
}

/** GET /api/runs/:runId/evaluations -> the answers to each task's questions, by the base model and after each stage. */
export interface EvaluationsResponse {
  runId: RunId;
  /** The confidence level: the share of such intervals that contain the true value. */
  level: number;
  tasks: {
    task: string;
    /** In the order in which they were made. */
    evaluations: {
      seq: number;
      step: number;
      /** The stage that had ended, from 0; null: the base model. */
      stage: number | null;
      /** WiSE-FT's share of the trained weights; null: the model as it is. */
      weight: number | null;
      right: number;
      asked: number;
      /** With Wilson's interval. */
      accuracy: PercentInterval;
      /**
       * The difference from the base model on the same questions, with Newcombe's interval for paired shares, and the
       * numbers of questions that went from wrong to right and from right to wrong. Null for the base model itself, and if
       * it was asked other questions.
       */
      againstBase: (PercentInterval & { gained: number; lost: number }) | null;
    }[];
  }[];
}
