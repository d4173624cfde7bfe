import { randomUUID } from 'node:crypto';
import { io, type Socket } from 'socket.io-client';
import { type AskedAction, CommandId, type CommandRecord } from '@plumbline/shared/command';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import type { RunId, RunState, RunSummary } from '@plumbline/shared/run';
import type { DashboardToHub, HubToDashboard } from '@plumbline/shared/socket';
import { HubAway, HubSession, type HubAddress } from '@plumbline/server/dist/hub-api.js';

/** A dashboard user without a browser: the same REST calls and the same socket. */
export class HubClient extends HubSession {
  readonly socket: Socket<HubToDashboard, DashboardToHub>;

  private constructor(
    readonly hub: HubAddress,
    cookie: string,
  ) {
    super(hub.url, cookie);
    this.socket = io(`${hub.url}/dashboard`, {
      extraHeaders: { cookie, origin: hub.url },
      reconnectionDelayMax: 500,
      transports: ['websocket'],
    });
  }

  static override async open(hub: HubAddress): Promise<HubClient> {
    return new HubClient(hub, (await HubSession.open(hub)).cookie);
  }

  /** A client with a browser's session. */
  static withCookie(hub: HubAddress, cookie: string): HubClient {
    return new HubClient(hub, cookie);
  }

  close(): void {
    this.socket.disconnect();
  }

  async startRun(config: Partial<RunConfig>): Promise<RunId> {
    return (await this.start({ config: RunConfig.parse({ name: 'test', ...config }) })).runId;
  }

  /** Gives a command and returns the record that the hub answers with (usually pending). */
  async command(runId: RunId, action: AskedAction, commandId = CommandId.parse(randomUUID())): Promise<CommandRecord> {
    const answer = await this.socket.timeout(10_000).emitWithAck('command', { commandId, runId, action });
    if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
    return answer.record;
  }

  /** Gives a command and waits for its end. */
  async commandEnd(runId: RunId, action: AskedAction): Promise<CommandRecord> {
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

  /** Polls every 100 ms until there is an answer, also while the hub is down. */
  async until<T>(what: string, ask: () => Promise<T | undefined>, limitMs = 120_000): Promise<T> {
    const endMs = Date.now() + limitMs;
    for (;;) {
      const answer = await ask().catch((error: unknown) => {
        if (error instanceof HubAway) return undefined; // it is being restarted
        throw error;
      });
      if (answer !== undefined) return answer;
      if (Date.now() > endMs) throw new Error(`Timed out after ${limitMs} ms: ${what}.`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
