import type { AskedCommand, CommandRecord } from '@plumbline/shared/command';
import type { StartRunRequest } from '@plumbline/shared/built-in/start-run';
import type {
  CommandResponse,
  CommandsResponse,
  ControlEventsResponse,
  DeletedRun,
  HistoryResponse,
  RunResponse,
} from '@plumbline/shared/http';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { ListedRun, RunListResponse } from '@plumbline/shared/run-list';
import type { WireError } from '@plumbline/shared/socket';

/** The hub refused a request, for the reason in the message. */
export class HubRefusal extends Error {
  override name = 'HubRefusal';
  constructor(
    readonly status: number,
    readonly code: WireError['code'] | undefined,
    message: string,
  ) {
    super(message);
  }
}

/** The hub does not answer: nothing listens there, or the connection broke, as during a restart. */
export class HubAway extends Error {
  override name = 'HubAway';
  constructor(url: string, cause: TypeError) {
    super(`The hub at ${url} does not answer.`, { cause });
  }
}

/** Address of a hub, or of a proxy in front of hubs, and the one-time token of its link. */
export interface HubAddress {
  url: string;
  token: string;
}

/** A hub's REST API, for programs. */
export class HubApi {
  /** @param headers credentials, sent with each request */
  constructor(
    readonly url: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {}

  /** @throws HubRefusal when the hub refuses, HubAway when it does not answer */
  async get<T>(path: string): Promise<T> {
    return this.request('GET', path);
  }

  /** Starts a run of the built-in trainer. @throws as `get`; a hub whose answer was lost may have started it */
  async start(request: StartRunRequest): Promise<RunSummary> {
    return (await this.request<RunResponse>('POST', '/runs', request)).run;
  }
  /** All runs that match the filters, newest first. @param filters e.g. `text=counting&state=running` */
  async runs(filters = ''): Promise<ListedRun[]> {
    const runs: ListedRun[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: RunListResponse = await this.runPage(`${filters}${cursor && `&cursor=${cursor}`}`);
      runs.push(...page.runs);
      // A hub of before has no pages.
      cursor = page.next ?? null;
    }
    return runs;
  }
  /** @param query see `RunListQuery` */
  runPage(query: string): Promise<RunListResponse> {
    return this.get(`/runs?${query}`);
  }
  async run(runId: RunId): Promise<RunSummary> {
    return (await this.get<RunResponse>(`/runs/${runId}`)).run;
  }
  /** Deletes a run that has ended, for good. @throws as `get`; a hub whose answer was lost may have deleted it */
  delete(runId: RunId): Promise<DeletedRun> {
    return this.request('DELETE', `/runs/${runId}`);
  }
  history(runId: RunId, query = ''): Promise<HistoryResponse> {
    return this.get(`/runs/${runId}/history?maxPoints=100000${query}`);
  }
  controlEvents(runId: RunId): Promise<ControlEventsResponse> {
    return this.get(`/runs/${runId}/events`);
  }
  async commands(runId: RunId): Promise<CommandsResponse['commands']> {
    return (await this.get<CommandsResponse>(`/runs/${runId}/commands`)).commands;
  }
  /** Gives a command, or asks again what became of it. @param waitMs how long to wait for its end @throws as `get` */
  async give({ runId, ...asked }: AskedCommand, waitMs = 0): Promise<CommandRecord> {
    return (await this.request<CommandResponse>('POST', `/runs/${runId}/commands?waitMs=${waitMs}`, asked)).command;
  }

  /** @throws as `get` */
  protected async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    try {
      const response = await fetch(`${this.url}/api${path}`, {
        method,
        headers: { ...this.headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      if (!response.ok) throw await refusalOf(response);
      return (await response.json()) as T;
    } catch (error) {
      throw isLostConnection(error) ? new HubAway(this.url, error) : error;
    }
  }
}

/** A program that may control a hub's runs by a session, as a browser does. */
export class HubSession extends HubApi {
  constructor(
    url: string,
    readonly cookie: string,
  ) {
    super(url, { cookie, origin: url });
  }

  /** @throws HubRefusal when the token is used or too old */
  static async open({ url, token }: HubAddress): Promise<HubSession> {
    const response = await fetch(`${url}/api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: url },
      body: JSON.stringify({ token }),
    });
    if (!response.ok) throw await refusalOf(response);
    const cookies = response.headers.getSetCookie().map((cookie) => cookie.split(';')[0]);
    return new HubSession(url, cookies.join('; '));
  }

  /** Gives the session up: its cookie opens nothing any more. @throws as `get` */
  async giveUp(): Promise<void> {
    await this.request('DELETE', '/session');
  }
}

/** fetch's word for it is a TypeError, as a mistake in a program is; the system's or its own code is in the cause. */
function isLostConnection(error: unknown): error is TypeError {
  if (!(error instanceof TypeError)) return false;
  const { cause } = error;
  return error.message === 'fetch failed' || (cause instanceof Error && 'code' in cause);
}

async function refusalOf(response: Response): Promise<HubRefusal> {
  const text = await response.text();
  let error: Partial<WireError> = {};
  try {
    error = (JSON.parse(text) as { error?: WireError }).error ?? {};
  } catch {
    // A proxy's page, say: its status has to do.
  }
  return new HubRefusal(
    response.status,
    error.code,
    error.message ?? `The hub answered ${response.status}: ${text.slice(0, 200)}`,
  );
}
