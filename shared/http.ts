import { z } from 'zod';
import { MetricName, WireNumber } from './metric.js';
import type { targetTasks, backends } from './run.js';
import { RunConfig, RunId, CheckpointId, RunSummary } from './run.js';
import { CommandRecord } from './command.js';
import type { recipes } from './parameter.js';
import type { ControlEvent } from './trainer-event.js';
import type { WireError } from './socket.js';

/** Body of every answer that is not 2xx. */
export interface ErrorBody {
  error: WireError;
}

/** POST /api/session: a one-time link's token for a session cookie. GET tells what this browser may do. */
export const SessionRequest = z.object({ token: z.string().min(1).max(200) });
export const SessionInfo = z.object({ mayControl: z.boolean() });
export type SessionInfo = z.infer<typeof SessionInfo>;

/** GET /api/runs -> newest first. */
export const RunList = z.object({ runs: z.array(RunSummary) });
export type RunList = z.infer<typeof RunList>;

/** POST /api/runs: starts the built-in trainer, from the base model or from a checkpoint of another run. */
export const StartRunRequest = z.object({
  config: RunConfig,
  from: z.object({ runId: RunId, checkpointId: CheckpointId }).optional(),
});
export type StartRunRequest = z.infer<typeof StartRunRequest>;

/** GET /api/runs/:runId */
export const RunResponse = z.object({ run: RunSummary });
export type RunResponse = z.infer<typeof RunResponse>;

/** GET /api/runs/:runId/history?metric=train/loss&metric=shift/kl&fromStep=0&toStep=400&maxPoints=1500 */
export const HistoryQuery = z.object({
  /** Names, repeated; none means every metric of the run. */
  metric: z.union([MetricName, z.array(MetricName).max(2000)]).optional(),
  fromStep: z.coerce.number().int().nonnegative().optional(),
  toStep: z.coerce.number().int().nonnegative().optional(),
  /** Upper bound of points a series; the smallest and largest value of each bucket are always kept. */
  maxPoints: z.coerce.number().int().min(5).max(100_000).default(2000),
});
export type HistoryQuery = z.infer<typeof HistoryQuery>;

/** Columnar: `values[i]` was measured at `steps[i]` by event `seqs[i]`; ascending by seq. */
export const WireSeries = z.object({
  steps: z.array(z.number()),
  seqs: z.array(z.number()),
  wallTimesMs: z.array(z.number()),
  values: z.array(WireNumber),
});
export type WireSeries = z.infer<typeof WireSeries>;
export interface HistoryResponse {
  runId: RunId;
  /** Everything up to this event number is in the answer. */
  lastSeq: number;
  series: Record<string, WireSeries>;
}

/** GET /api/runs/:runId/events -> control events, ascending: starts, pauses, commands' ends, checkpoints. */
export interface ControlEventsResponse {
  runId: RunId;
  lastSeq: number;
  events: ControlEvent[];
}

/** GET /api/runs/:runId/commands -> the audit log, oldest first. */
export const CommandsResponse = z.object({ commands: z.array(CommandRecord) });
export type CommandsResponse = z.infer<typeof CommandsResponse>;

/** GET /api/catalog: what the new-run form offers. */
export interface CatalogResponse {
  tasks: typeof targetTasks;
  recipes: typeof recipes;
  backends: typeof backends;
  defaults: RunConfig;
}
