import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandId } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { CommandLog } from './command-log.js';
import type { Peers } from './peers.js';
import type { RunWork } from './run-work.js';
import {
  defaultTiming,
  deliver,
  isNotification,
  type Delivery,
  type NotificationRecord,
  type WebhookOptions,
} from './webhook.js';

/** Pause before an outcome is written again that the store did not take. */
const writeAgainMs = 2_000;

/** Another hub delivers it from now on. */
class LetGo extends Error {}

/**
 * Delivers the notifications that are open in the command log, at least once each: one whose outcome was not written
 * down before its hub ended is sent again by the hub that takes it up, with the same id. Those of a run that has ended
 * are the hub's that ended it: for as long as some are open, it is known among its peers as the run's holder.
 */
export class Notifier {
  readonly #closing = new AbortController();
  readonly #underWay = new Set<CommandId>();

  constructor(
    readonly options: WebhookOptions,
    readonly commands: CommandLog,
    readonly peers: Peers,
    readonly work: RunWork,
    readonly onError: (error: unknown) => void,
  ) {
    commands.on('notification', (record) => void this.#carryOut(record));
  }

  /** Takes up what is still to be told of these runs, which have ended, where the hub that would have told it is gone. */
  async takeUp(runs: readonly RunId[]): Promise<void> {
    const withOpen = new Set(await this.commands.store.runsWithOpenCommands());
    for (const runId of runs.filter((each) => withOpen.has(each)))
      if (!this.work.isBeingDeleted(runId)) await this.work.on(runId, () => this.#takeUp(runId));
  }

  async #takeUp(runId: RunId): Promise<void> {
    if ((await this.#openOf(runId)).length === 0 || !(await this.peers.claimIfFree(runId))) return;
    // Read anew: the hub before may have delivered some until now.
    for (const record of await this.#openOf(runId)) this.commands.takeUp(record);
  }

  async #openOf(runId: RunId): Promise<NotificationRecord[]> {
    const records = await this.commands.store.commands(runId);
    return records.filter(isNotification).filter(({ state }) => state === 'pending');
  }

  /** Stops sending; what is undelivered stays open for the next hub. */
  close(): void {
    this.#closing.abort();
  }

  async #carryOut(record: NotificationRecord): Promise<void> {
    const { commandId } = record;
    if (this.#underWay.has(commandId)) return;
    this.#underWay.add(commandId);
    const { signal } = this.#closing;
    const wait = async (ms: number): Promise<void> => {
      await defaultTiming.wait(ms, signal);
      if (!this.commands.isOpen(commandId)) throw new LetGo();
    };
    try {
      await this.#write(record, await deliver(record, this.options, signal, { ...defaultTiming, wait }));
    } catch (error) {
      if (!signal.aborted && !(error instanceof LetGo)) this.onError(error);
    } finally {
      this.#underWay.delete(commandId);
    }
  }

  async #write(record: NotificationRecord, delivery: Delivery): Promise<void> {
    const end = () =>
      delivery.delivered
        ? this.commands.endOwn(record, 'applied', {
            after: { status: delivery.status, attempts: delivery.attempts },
          })
        : this.commands.endOwn(record, 'failed', { reason: delivery.reason });
    while (!this.#closing.signal.aborted)
      try {
        // With a run that is being deleted its records go, unless that fails: one written meanwhile would stay behind.
        while (this.work.isBeingDeleted(record.runId)) await sleep(50, undefined, { ref: false });
        return this.commands.isOpen(record.commandId) ? await this.work.on(record.runId, end) : undefined;
      } catch (error) {
        this.onError(error);
        await sleep(writeAgainMs, undefined, { signal: this.#closing.signal, ref: false });
      }
  }
}
