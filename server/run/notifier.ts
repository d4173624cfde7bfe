import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandId } from '@plumbline/shared/command';
import type { Run } from './run.js';
import { defaultTiming, deliver, type Delivery, type NotificationRecord, type WebhookOptions } from './webhook.js';

/** Pause before an outcome is written again that the store did not take. */
const writeAgainMs = 2_000;

/** Another hub delivers it from now on. */
class LetGo extends Error {}

/**
 * Delivers the notifications that are open in the command logs, at least once each: one whose outcome was not written down
 * before its hub ended is sent again by the hub that takes it up, with the same id. Those of a run that has ended are the
 * hub's that ended it: for as long as some are open, it keeps the run's lease.
 */
export class Notifier {
  readonly #underWay = new Set<CommandId>();

  constructor(
    readonly options: WebhookOptions,
    readonly closing: AbortSignal,
    readonly onError: (error: unknown) => void,
  ) {}

  /** Delivers a notification that is open in the run's log. */
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
