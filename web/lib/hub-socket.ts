import { io, type Socket } from 'socket.io-client';
import type { AskedCommand, CommandRecord } from '@plumbline/shared/command';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import { lookMs, silenceOf } from '@plumbline/shared/silent-line';
import type { DashboardToHub, HubToDashboard, Result } from '@plumbline/shared/socket';
import { api, ApiError } from './api';
import type { FeedListener, FeedTransport } from './run-feed';
import type { CommandTransport } from './command-desk';
import type { ListHub } from './run-lister';

/** The state of the connection to the hub, and since when. */
export type HubConnection =
  | { state: 'connecting'; sinceMs: number }
  | { state: 'connected'; sinceMs: number }
  | { state: 'down'; sinceMs: number; reason: string };

const answerTimeoutMs = 10_000;
/** The silence, pings included, after which a connection is given up for a new one. */
const silenceMs = 4000;

/** The one socket of this page: namespace `/dashboard` at the origin that the page came from. */
class HubSocket implements FeedTransport, CommandTransport, ListHub {
  connection: HubConnection = { state: 'connecting', sinceMs: Date.now() };
  readonly #listeners = new Set<() => void>();
  /** Runs deleted since it connected, with their creation times. */
  readonly #gone = new Map<RunId, number>();
  #socket: Socket<HubToDashboard, DashboardToHub> | undefined;

  /** Opened at first use, so that building the pages connects to nothing. */
  get #io(): Socket<HubToDashboard, DashboardToHub> {
    if (this.#socket) return this.#socket;
    // With a link's token in the address, the session is opened first. The socket connects after that.
    const autoConnect = !new URL(location.href).searchParams.has('token');
    const socket: Socket<HubToDashboard, DashboardToHub> = io('/dashboard', {
      reconnectionDelayMax: 1000,
      autoConnect,
    });
    this.#socket = socket;
    const down = (reason: string): void => {
      const sinceMs = this.connection.state === 'down' ? this.connection.sinceMs : Date.now();
      this.#is({ state: 'down', sinceMs, reason });
    };
    socket.on('connect', () => {
      // A deleted run may have been imported again while the hub was away.
      this.#gone.clear();
      this.#is({ state: 'connected', sinceMs: Date.now() });
    });
    // Registered before all other listeners, so that they can ask whether a run is gone.
    socket.on('run_deleted', ({ runId, createdMs }) => this.#gone.set(runId, createdMs));
    socket.on('connect_error', (error) => down(error.message));
    socket.on('disconnect', (reason) => {
      down(reason);
      // The client does not reconnect by itself when the hub closed the connection, e.g. for a restart.
      if (reason === 'io server disconnect') setTimeout(() => socket.connect(), 1000);
    });
    const silent = (): void => {
      down(`nothing heard for ${silenceMs / 1000} s`);
      // The browser would send polling requests over its other connections to the hub, which are dead too.
      Object.assign(socket.io.opts, { transports: ['websocket', 'polling'], tryAllTransports: true });
    };
    setInterval(silenceOf(socket, silenceMs, silent), lookMs);
    return socket;
  }

  #is(connection: HubConnection): void {
    this.connection = connection;
    for (const listener of this.#listeners) listener();
  }
  subscribe = (listener: () => void): (() => void) => {
    void this.#io;
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Reconnects, so that a session opened meanwhile counts. */
  reconnect(): void {
    this.#io.disconnect().connect();
  }

  /** Whether a run was deleted. News of it may still arrive by way of another hub. A newer run under its id is not gone. */
  isGone({ runId, createdMs }: RunSummary): boolean {
    return this.#gone.get(runId) === createdMs;
  }

  /** Reports runs that appeared or changed. */
  onRun(listener: (run: RunSummary) => void): () => void {
    const heard: HubToDashboard['run'] = (run) => !this.isGone(run) && listener(run);
    this.#io.on('run', heard);
    return () => this.#io.off('run', heard);
  }

  onProgress(listener: HubToDashboard['progress']): () => void {
    this.#io.on('progress', listener);
    return () => this.#io.off('progress', listener);
  }

  onRunDeleted(listener: () => void): () => void {
    this.#io.on('run_deleted', listener);
    return () => this.#io.off('run_deleted', listener);
  }

  onRules(listener: HubToDashboard['rules']): () => void {
    this.#io.on('rules', listener);
    return () => this.#io.off('rules', listener);
  }

  listen(runId: RunId, listener: FeedListener): () => void {
    const socket = this.#io;
    const handlers: Omit<HubToDashboard, 'rules'> & { connect: () => void } = {
      connect: () => listener.connected(),
      metrics: (batch) => batch.runId === runId && listener.metrics(batch),
      control: (message) => message.runId === runId && listener.control(message.event),
      run: (run) => run.runId === runId && !this.isGone(run) && listener.run(run),
      progress: (progress) => progress.runId === runId && listener.progress(progress),
      run_deleted: (message) => message.runId === runId && listener.deleted(),
      command: (record) => record.runId === runId && listener.command(record),
      lagged: (message) => message.runId === runId && listener.lagged(),
    };
    socket.on('connect', handlers.connect);
    socket.on('metrics', handlers.metrics);
    socket.on('control', handlers.control);
    socket.on('run', handlers.run);
    socket.on('progress', handlers.progress);
    socket.on('run_deleted', handlers.run_deleted);
    socket.on('command', handlers.command);
    socket.on('lagged', handlers.lagged);
    if (socket.connected) queueMicrotask(handlers.connect);
    return () => {
      socket.off('connect', handlers.connect);
      socket.off('metrics', handlers.metrics);
      socket.off('control', handlers.control);
      socket.off('run', handlers.run);
      socket.off('progress', handlers.progress);
      socket.off('run_deleted', handlers.run_deleted);
      socket.off('command', handlers.command);
      socket.off('lagged', handlers.lagged);
    };
  }

  async watch(runId: RunId, series: readonly string[]): Promise<{ run: RunSummary; lastSeq: number }> {
    const asked = { runId, series: [...series] };
    const answer = await this.#io.timeout(answerTimeoutMs).emitWithAck('watch', asked);
    if (!answer.ok) throw new ApiError(answer.error.code, answer.error.message);
    return answer;
  }
  unwatch(runId: RunId): void {
    if (this.#io.connected) this.#io.emit('unwatch', { runId });
  }
  runPage = api.runPage;
  history = api.history;
  latest = api.latest;
  series = api.series;
  events = api.events;
  commands = api.commands;

  async sendCommand(command: AskedCommand): Promise<Result<{ record: CommandRecord }>> {
    if (!this.#io.connected) throw new ApiError('unreachable', 'Not connected.');
    return await this.#io.timeout(answerTimeoutMs).emitWithAck('command', command);
  }
  connected(limitMs: number): Promise<void> {
    const socket = this.#io;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, socket.connected ? Math.min(500, limitMs) : limitMs);
      socket.once('connect', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

export const hubSocket = new HubSocket();
