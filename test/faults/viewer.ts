import { randomUUID } from 'node:crypto';
import { CommandId, type CommandAction } from '@plumbline/shared/command';
import { isLargeEvent } from '@plumbline/shared/large-event-notice';
import type { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { HubClient } from '../support/hub-client.js';

/** A command that a person gave, and the hub's answers. */
export interface Given {
  commandId: CommandId;
  runId: RunId;
  /** Whether a hub has accepted it: from then on it must end exactly once. */
  accepted: boolean;
}

/** A person at a dashboard who watches all runs, gives commands, and remembers what was shown. */
export class Viewer {
  readonly client: HubClient;
  /** Events shown live for each run, by number. */
  readonly shown = new Map<RunId, Map<number, TrainerEvent>>();
  readonly shownTo = new Map<RunId, number>();
  /** Events that were shown in two ways. */
  readonly contradictions: string[] = [];
  readonly #watched = new Set<RunId>();
  #closed = false;

  constructor(
    readonly name: string,
    url: string,
    cookie: string,
  ) {
    this.client = HubClient.withCookie({ url, token: '' }, cookie);
    const { socket } = this.client;
    socket.on('metrics', ({ runId, events }) => events.forEach((event) => this.#show(runId, event)));
    socket.on('control', ({ runId, event }) => {
      if (!isLargeEvent(event)) this.#show(runId, event);
    });
    // A dying hub loses its rooms: join again on every connection.
    socket.on('connect', () => this.#watched.forEach((runId) => void this.#join(runId)));
  }

  watch(runId: RunId): void {
    this.#watched.add(runId);
    void this.#join(runId);
  }
  unwatch(runId: RunId): void {
    this.#watched.delete(runId);
    this.client.socket.emit('unwatch', { runId });
  }

  /** Gives a command; without an answer, gives it again with the same id, like the dashboard. */
  async give(runId: RunId, action: CommandAction, twiceBy: Viewer | null): Promise<Given> {
    const given: Given = { commandId: CommandId.parse(randomUUID()), runId, accepted: false };
    await Promise.all([this.#insist(given, action), twiceBy && twiceBy.#insist(given, action)]);
    return given;
  }

  close(): void {
    this.#closed = true;
    this.client.close();
  }

  async #insist(given: Given, action: CommandAction): Promise<void> {
    for (let attempt = 0; attempt < 20 && !this.#closed; attempt++) {
      const answer = await this.client.socket
        .timeout(3000)
        .emitWithAck('command', { commandId: given.commandId, runId: given.runId, action })
        .catch(() => null);
      if (answer?.ok) {
        given.accepted = true;
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }

  /** Retries until the hub knows the run: a new trainer may not have attached yet. */
  async #join(runId: RunId): Promise<void> {
    const { socket } = this.client;
    const { id } = socket;
    while (socket.connected && socket.id === id && this.#watched.has(runId)) {
      const answer = await socket
        .timeout(3000)
        .emitWithAck('watch', { runId })
        .catch(() => null);
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  #show(runId: RunId, event: TrainerEvent): void {
    const shown = this.shown.get(runId) ?? new Map<number, TrainerEvent>();
    this.shown.set(runId, shown);
    const before = shown.get(event.seq);
    if (before && JSON.stringify(before) !== JSON.stringify(event))
      this.contradictions.push(`${runId} ${event.seq} was shown to ${this.name} in two ways`);
    shown.set(event.seq, event);
    this.shownTo.set(runId, Math.max(this.shownTo.get(runId) ?? 0, event.seq));
  }
}
