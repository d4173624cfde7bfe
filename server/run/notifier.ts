import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandId } from '@plumbline/shared/command';
import type { RunSummary } from '@plumbline/shared/run';
import type { CommandLog } from './command-log.js';
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
 * down before its hub ended is sent again by the hub that takes it up, with the same id.
 */
export class Notifier {
  readonly #closing = new AbortController();
  readonly #underWay = new Set<CommandId>();

  constructor(
    readonly options: WebhookOptions,
    readonly commands: CommandLog,
    readonly onError: (error: unknown) => void,
  ) {
    commands.on('notification', (record) => void this.#carryOut(record));
  }

  /** Takes up what was still to be told of these runs, which have ended, when the hub that would have told it went down. */
  async takeUp(runs: readonly RunSummary[]): Promise<void> {
    for (const { runId, config } of runs) {
      // Runs that were stored before there were rules have no list of them.
      if (!config.rules?.some(({ actions }) => actions.some(({ kind }) => kind === 'notify'))) continue;
      for (const record of await this.commands.store.commands(runId))
        if (record.state === 'pending' && isNotification(record)) this.commands.takeUp(record);
    }
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
    while (!this.#closing.signal.aborted)
      try {
        if (delivery.delivered) {
          const { status, attempts } = delivery;
          return await this.commands.endOwn(record, 'applied', { after: { status, attempts } });
        }
        return await this.commands.endOwn(record, 'failed', { reason: delivery.reason });
      } catch (error) {
        this.onError(error);
        await sleep(writeAgainMs, undefined, { signal: this.#closing.signal, ref: false });
      }
  }
}
