import type { CatalogResponse } from '@plumbline/shared/built-in/catalog';
import type { StartRunRequest } from '@plumbline/shared/built-in/start-run';
import type {
  CommandsResponse,
  DeletedRun,
  RulesResponse,
  RunResponse,
  SessionInfo,
  CheckpointsResponse,
  ControlEventsResponse,
  ErrorBody,
  HistoryResponse,
} from '@plumbline/shared/http';
import type { RuleState } from '@plumbline/shared/rule';
import type { CommandRecord } from '@plumbline/shared/command';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { RunListResponse } from '@plumbline/shared/run-list';
import type { SeriesResponse } from '@plumbline/shared/series';
import type { ErrorCode } from '@plumbline/shared/socket';
import type { HistoryRange } from './run-feed';
import type { ListQuery } from './run-lister';

/** A refusal or failure of a request to the hub. `code` is `unreachable` if there was no answer. */
export class ApiError extends Error {
  constructor(
    readonly code: ErrorCode | 'unreachable',
    message: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

async function request(path: string, init?: RequestInit): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(`/api${path}`, { credentials: 'same-origin', ...init });
  } catch {
    throw new ApiError('unreachable', 'The hub does not answer. Check that it is running, then try again.');
  }
  const text = await response.text();
  let body: unknown;
  try {
    body = text === '' ? undefined : JSON.parse(text);
  } catch {
    throw new ApiError('internal', `The hub answered ${response.status} with something that is not JSON.`);
  }
  if (response.ok) return body;
  const error = (body as Partial<ErrorBody> | undefined)?.error;
  throw new ApiError(error?.code ?? 'internal', error?.message ?? `The hub answered ${response.status}.`);
}

const post = (path: string, body: unknown): Promise<unknown> =>
  request(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

/**
 * The hub's REST resources, same origin. Each throws ApiError with a message to show to people. The hub has checked what it
 * answers and both sides share the types, so answers are not checked again: pages load no schemas for it.
 */
export const api = {
  session: async (): Promise<SessionInfo> => (await request('/session')) as SessionInfo,
  openSession: async (token: string): Promise<SessionInfo> => (await post('/session', { token })) as SessionInfo,
  catalog: async (): Promise<CatalogResponse> => (await request('/catalog')) as CatalogResponse,
  runPage: async (asked: ListQuery): Promise<RunListResponse> => {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(asked) as [string, string | number | readonly string[]][])
      for (const one of typeof value === 'object' ? value : [value]) if (one !== '') query.append(name, String(one));
    return (await request(`/runs?${query}`)) as RunListResponse;
  },
  run: async (runId: RunId): Promise<RunSummary> => ((await request(`/runs/${runId}`)) as RunResponse).run,
  startRun: async (body: StartRunRequest): Promise<RunSummary> => ((await post('/runs', body)) as RunResponse).run,
  deleteRun: async (runId: RunId): Promise<DeletedRun> =>
    (await request(`/runs/${runId}`, { method: 'DELETE' })) as DeletedRun,
  commands: async (runId: RunId): Promise<CommandRecord[]> =>
    ((await request(`/runs/${runId}/commands`)) as CommandsResponse).commands,
  checkpoints: async (runId: RunId): Promise<CheckpointsResponse['checkpoints']> =>
    ((await request(`/runs/${runId}/checkpoints`)) as CheckpointsResponse).checkpoints,
  rules: async (runId: RunId): Promise<RuleState[]> => ((await request(`/runs/${runId}/rules`)) as RulesResponse).rules,
  events: async (runId: RunId): Promise<ControlEventsResponse> =>
    (await request(`/runs/${runId}/events`)) as ControlEventsResponse,
  latest: async (runId: RunId, series: readonly string[]): Promise<HistoryResponse> => {
    const query = new URLSearchParams(series.map((name) => ['metric', name]));
    return (await request(`/runs/${runId}/latest?${query}`)) as HistoryResponse;
  },
  series: async (runId: RunId): Promise<SeriesResponse> => (await request(`/runs/${runId}/series`)) as SeriesResponse,
  history: async (runId: RunId, range: HistoryRange): Promise<HistoryResponse> => {
    const query = new URLSearchParams({ maxPoints: String(range.maxPoints) });
    for (const metric of range.metrics) query.append('metric', metric);
    if (range.fromStep !== undefined) query.set('fromStep', String(Math.max(0, Math.floor(range.fromStep))));
    if (range.toStep !== undefined) query.set('toStep', String(Math.ceil(range.toStep)));
    return (await request(`/runs/${runId}/history?${query}`)) as HistoryResponse;
  },
};
