import { EventEmitter, once } from 'node:events';
import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunRegistry } from '../run/registry.js';

/** Polling interval: the end of a command at another hub is only found in the store. */
const lookEveryMs = 500;

/** Waits for commands to end. */
export class CommandEnds {
  readonly #changed = new EventEmitter().setMaxListeners(0);

  constructor(readonly runs: RunRegistry) {
    runs.on('command', ({ commandId }) => this.#changed.emit(commandId));
  }

  /**
   * @param gone aborted when the client has left
   * @returns the record once it has ended, or the current one after `waitMs` or when the hub is being stopped
   */
  async wait(record: CommandRecord, waitMs: number, gone: AbortSignal): Promise<CommandRecord> {
    const { store, drain } = this.runs;
    const endMs = performance.now() + waitMs;
    let now = record;
    for (;;) {
      const leftMs = endMs - performance.now();
      if (now.state !== 'pending' || leftMs <= 0 || gone.aborted || drain.started) return now;
      const changed = this.#change(record.commandId, Math.min(leftMs, lookEveryMs), gone);
      // Read after listening, so that an end meanwhile is not missed.
      now = (await store.command(record.commandId)) ?? now;
      if (now.state === 'pending') await changed;
    }
  }

  /** Resolves when the command's record changes, after `withinMs`, or when the client has left. */
  async #change(commandId: CommandId, withinMs: number, gone: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([gone, AbortSignal.timeout(Math.ceil(withinMs))]);
    await once(this.#changed, commandId, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
}
