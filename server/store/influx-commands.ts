import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { TakeTexts } from './event-store.js';
import type { InfluxClient } from './influx-client.js';
import { lineOfCommand, rankOf } from './influx-lines.js';
import { settleMs, type InfluxOutbox } from './influx-outbox.js';
import {
  commandPages,
  decidingTimes,
  highest,
  inOrder,
  inPage,
  placeOf,
  queryCommand,
  queryCommandPlaces,
  queryCommands,
  queryCommandsBetween,
  queryOpenCommands,
} from './influx-records.js';

/** The records of commands: the undelivered ones laid over those in InfluxDB. */
export class InfluxCommands {
  constructor(
    readonly client: InfluxClient,
    readonly outbox: InfluxOutbox,
  ) {}

  async put(record: CommandRecord): Promise<void> {
    await this.outbox.add({ kind: 'command', record }, [lineOfCommand(record)]);
  }

  async get(commandId: CommandId): Promise<CommandRecord | null> {
    const { delivery } = await this.outbox.open();
    const here = (): CommandRecord | null => this.outbox.command(commandId) ?? null;
    const held = here();
    if (held && rankOf(held) === 2) return held;
    // While InfluxDB is down only recent commands of this hub are known. Steering has to go on then, and a trainer
    // accepts a command id only once.
    if (delivery.problem !== null) return held;
    const { deleting } = this.outbox;
    const noAnswer = sleep(settleMs, null, { ref: false });
    const there = await Promise.race([queryCommand(this.client, commandId), noAnswer]);
    // A record held before the query may have been delivered too late for the answer.
    const isVoid = there !== null && deleting.has(there.runId);
    const known = [isVoid ? null : there, held, here()].filter((record) => record !== null);
    return highest(known)[0] ?? null;
  }

  async all(runId: RunId, signal?: AbortSignal): Promise<CommandRecord[]> {
    await this.outbox.open();
    const here = this.#undelivered(runId);
    const there = this.outbox.deleting.has(runId) ? [] : await queryCommands(this.client, runId, signal);
    return inOrder(highest([...there, ...here]));
  }

  async each(runId: RunId, take: TakeTexts, signal?: AbortSignal): Promise<void> {
    await this.outbox.open();
    const here = this.#undelivered(runId);
    const there = this.outbox.deleting.has(runId) ? [] : await queryCommandPlaces(this.client, runId, signal);
    const times = decidingTimes([...there, ...here.map(placeOf)]);
    for (const page of commandPages([...times.values()])) {
      const records = there.length === 0 ? [] : await queryCommandsBetween(this.client, runId, page, signal);
      const deciding = [...records, ...here].filter(
        (record) => inPage(record, page) && times.get(record.commandId) === placeOf(record).timeMs,
      );
      await take(inOrder(highest(deciding)).map((record) => JSON.stringify(record)));
    }
  }

  async runsWithOpen(): Promise<RunId[]> {
    await this.outbox.open();
    // Noted before InfluxDB is asked, as runs are.
    const { commands: here, deleting } = this.outbox;
    const there = (await queryOpenCommands(this.client)).filter(({ runId }) => !deleting.has(runId));
    const open = new Map(there.map(({ commandId, runId }) => [commandId, runId]));
    for (const { commandId, runId, state } of here)
      if (state === 'pending') open.set(commandId, runId);
      else open.delete(commandId);
    return [...new Set(open.values())];
  }

  /** This hub's undelivered commands of a run. To be noted before InfluxDB is asked, as runs are. */
  #undelivered(runId: RunId): CommandRecord[] {
    return this.outbox.commands.filter((record) => record.runId === runId);
  }
}
