import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandId, CommandRecord, GivenCommand } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import { StoreUnavailableError, type EventStore } from '../store/event-store.js';
import type { Drain } from './drain.js';
import { Refusal, toWireError } from './refusal.js';
import type { Run } from './run.js';

/** Pause before a command is offered again to the hub that holds its run. */
const passOnMs = 500;

export interface CommandRouterOptions {
  store: EventStore;
  drain: Drain;
  /** The owner of an existing run. @throws Refusal `not_found` */
  run: (runId: RunId) => Promise<Run>;
  /** The owners in memory. */
  owners: () => Iterable<Run>;
  onError: (error: unknown) => void;
}

/** Gives commands to the owners of their runs, and passes those of runs that have moved to the hubs that hold them. */
export class CommandRouter {
  /** The run of each command that is being taken. */
  readonly #taking = new Map<CommandId, RunId>();

  constructor(readonly options: CommandRouterOptions) {}

  /** See RunRegistry.command. */
  give(command: GivenCommand, author: string): Promise<CommandRecord> {
    return this.options.drain.work(async () => {
      const run = await this.options.run(command.runId);
      const { commandId, runId } = command;
      if ((this.#taking.get(commandId) ?? runId) !== runId)
        throw new Refusal(
          'conflict',
          `The id ${commandId} is a command's to another run. Give this one an id of its own.`,
        );
      this.#taking.set(commandId, runId);
      try {
        return (await run.give(command, author))!;
      } finally {
        this.#taking.delete(commandId);
      }
    });
  }

  /** The record of a command, or null. */
  async find(commandId: CommandId): Promise<CommandRecord | null> {
    for (const { core } of this.options.owners()) {
      const open = core.commands.openOne(commandId);
      if (open) return open;
    }
    return this.options.store.command(commandId);
  }

  /** The number of open commands at this hub. */
  get open(): number {
    let count = 0;
    for (const { core } of this.options.owners()) count += core.commands.open.length;
    return count;
  }

  /** Passes open commands to the hubs that hold their runs, as soon as one does. */
  passOn(records: readonly CommandRecord[]): void {
    for (const record of records) void this.#passOnOne(record).catch(this.options.onError);
  }

  async #passOnOne({ commandId, runId, action, cause, author }: CommandRecord): Promise<void> {
    for (;;)
      try {
        await this.give({ commandId, runId, action, cause }, author);
        return;
      } catch (error) {
        const isKnown = error instanceof Refusal || error instanceof StoreUnavailableError;
        if (!isKnown || !toWireError(error).retry || this.options.drain.started) throw error;
        await sleep(passOnMs, undefined, { ref: false });
      }
  }
}
