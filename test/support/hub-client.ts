import { randomUUID } from 'node:crypto';
import { io, type Socket } from 'socket.io-client';
import { type CommandAction, CommandId, type CommandRecord } from '@plumbline/shared/command';
import type { ControlEventsResponse, HistoryResponse } from '@plumbline/shared/http';
import { RunConfig, type RunId, type RunState, type RunSummary } from '@plumbline/shared/run';
import type { DashboardToHub, HubToDashboard } from '@plumbline/shared/socket';

/** Where a hub, or what is in front of hubs, answers, and the one-time token of its link. */
export interface HubAddress {
  url: string;
  token: string;
}

/** A person at the dashboard, without the browser: the same REST calls and the same socket. */
export class HubClient {
  readonly socket: Socket<HubToDashboard, DashboardToHub>;

  private constructor(
    readonly hub: HubAddress,
    readonly cookie: string,
  ) {
    this.socket = io(`${hub.url}/dashboard`, {
      extraHeaders: { cookie, origin: hub.url },
      reconnectionDelayMax: 500,
      transports: ['websocket'],
    });
  }

  static async open(hub: HubAddress): Promise<HubClient> {
    const response = await fetch(`${hub.url}/api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: hub.url },
      body: JSON.stringify({ token: hub.token }),
    });
    if (!response.ok) throw new Error(`No session: ${await response.text()}`);
    return new HubClient(
      hub,
      response.headers
        .getSetCookie()
        .map((cookie) => cookie.split(';')[0])
        .join('; '),
    );
  }

  /** With the session of a browser that has one. */
  static withCookie(hub: HubAddress, cookie: string): HubClient {
    return new HubClient(hub, cookie);
  }

  close(): void {
    this.socket.disconnect();
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.hub.url}/api${path}`, { headers: { cookie: this.cookie } });
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  async startRun(config: Partial<RunConfig>): Promise<RunId> {
    const response = await fetch(`${this.hub.url}/api/runs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', cookie: this.cookie, origin: this.hub.url },
      body: JSON.stringify({ config: RunConfig.parse({ name: 'test', ...config }) }),
    });
    if (!response.ok) throw new Error(`No run: ${response.status} ${await response.text()}`);
    return ((await response.json()) as { run: RunSummary }).run.runId;
  }

  async run(runId: RunId): Promise<RunSummary> {
    return (await this.get<{ run: RunSummary }>(`/runs/${runId}`)).run;
  }
  history(runId: RunId, query = ''): Promise<HistoryResponse> {
    return this.get(`/runs/${runId}/history?maxPoints=100000${query}`);
  }
  controlEvents(runId: RunId): Promise<ControlEventsResponse> {
    return this.get(`/runs/${runId}/events`);
  }
  async commands(runId: RunId): Promise<CommandRecord[]> {
    return (await this.get<{ commands: CommandRecord[] }>(`/runs/${runId}/commands`)).commands;
  }

  /** Gives a command and returns the record that the hub answers with (usually pending). */
  async command(
    runId: RunId,
    action: CommandAction,
    commandId = CommandId.parse(randomUUID()),
  ): Promise<CommandRecord> {
    const answer = await this.socket.timeout(10_000).emitWithAck('command', { commandId, runId, action });
    if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
    return answer.record;
  }

  /** Gives a command and waits for its end. */
  async commandEnd(runId: RunId, action: CommandAction): Promise<CommandRecord> {
    const { commandId } = await this.command(runId, action);
    return this.until(`the end of ${action.kind}`, async () => {
      const record = (await this.commands(runId)).find((entry) => entry.commandId === commandId);
      return record && record.state !== 'pending' ? record : undefined;
    });
  }

  state(runId: RunId, ...states: RunState[]): Promise<RunSummary> {
    return this.until(`run ${runId} to be ${states.join(' or ')}`, async () => {
      const run = await this.run(runId);
      if (run.state === 'failed' && !states.includes('failed')) throw new Error(`The run failed: ${run.reason}`);
      return states.includes(run.state) ? run : undefined;
    });
  }
  step(runId: RunId, step: number): Promise<RunSummary> {
    return this.until(`step ${step} of ${runId}`, async () => {
      const run = await this.run(runId);
      if (run.state === 'failed') throw new Error(`The run failed: ${run.reason}`);
      return run.lastStep >= step ? run : undefined;
    });
  }

  /** Asks every 100 ms until there is an answer; a hub that is down is asked again. */
  async until<T>(what: string, ask: () => Promise<T | undefined>, limitMs = 120_000): Promise<T> {
    const endMs = Date.now() + limitMs;
    for (;;) {
      const answer = await ask().catch((error: unknown) => {
        if (error instanceof TypeError) return undefined; // fetch failed: the hub is being restarted
        throw error;
      });
      if (answer !== undefined) return answer;
      if (Date.now() > endMs) throw new Error(`Waited ${limitMs} ms in vain for ${what}.`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
