import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandId } from '@plumbline/shared/command';
import type { Run } from './run.js';
import { defaultTiming, deliver, type Delivery, type NotificationRecord, type WebhookOptions } from './webhook.js';

/** Pause before a failed write of an outcome is tried again. */
const writeAgainMs = 2_000;

/** Another hub delivers it from now on. */
class LetGo extends Error {}

/**
 * Delivers the open notifications of the command logs at least once each. If a hub stops before it has recorded an outcome,
 * the next hub sends the notification again with the same id. The hub that ended a run delivers its notifications, and keeps
 * the lease while some are open.
 */
export class Notifier {
  readonly #underWay = new Set<CommandId>();

  constructor(
    readonly options: WebhookOptions,
    readonly closing: AbortSignal,
    readonly onError: (error: unknown) => void,
  ) {}

  /** Delivers an open notification of a run's log. */
  async carryOut(run: Run, record: NotificationRecord): Promise<void> {
    const { commandId } = record;
    if (this.#underWay.has(commandId)) return;
    this.#underWay.add(commandId);
    const wait = async (ms: number): Promise<void> => {
      await defaultTiming.wait(ms, this.closing);
      if (!run.isOpen(commandId)) throw new LetGo();
    };
    try {
      const delivery = await deliver(record, this.options, this.closing, { ...defaultTiming, wait });
      await this.#write(run, record, delivery);
    } catch (error) {
      if (!this.closing.aborted && !(error instanceof LetGo)) this.onError(error);
    } finally {
      this.#underWay.delete(commandId);
    }
  }

  async #write(run: Run, record: NotificationRecord, delivery: Delivery): Promise<void> {
    while (!this.closing.aborted)
      try {
        return delivery.delivered
          ? await run.notified(record, 'applied', { after: { status: delivery.status, attempts: delivery.attempts } })
          : await run.notified(record, 'failed', { reason: delivery.reason });
      } catch (error) {
        this.onError(error);
        await sleep(writeAgainMs, undefined, { signal: this.closing, ref: false });
      }
  }
}
