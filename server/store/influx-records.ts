import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { InfluxClient } from './influx-client.js';
import { commandMeasurement, fromParts, positionAt, rankOf, runMeasurement } from './influx-lines.js';
import type { Position } from './event-store.js';
import { upToDateRun } from './protocol-1.js';
import type { VersionedRun } from './influx-outbox.js';
import { always, from, queryRecords, type PointFields } from './influx-queries.js';

/** A run's record in InfluxDB, with the run's position when it was written. */
export type RunRecord = VersionedRun & Position;

/** The newest record of each run, or of one. */
export async function queryRuns(client: InfluxClient, runId?: RunId): Promise<RunRecord[]> {
  const where = runId === undefined ? '' : ` and r.run == "${runId}"`;
  const found = await queryRecords(
    client,
    `${from(client, always)} |> filter(fn: (r) => r._measurement == "${runMeasurement}"${where}) |> last()`,
  );
  // The query returns the newest point of each field; parts that only an older version had are dropped here.
  const newest = new Map<string, { version: number; fields: PointFields['fields'] }>();
  for (const { run, time, fields } of found) {
    const { seq: version } = positionAt(0, time);
    if (version > (newest.get(run)?.version ?? -1)) newest.set(run, { version, fields });
  }
  return [...newest.values()].map(({ version, fields }) => ({
    ...upToDateRun(fromParts<Omit<RunRecord, 'version'>>('record', fields)),
    version,
  }));
}

/** The commands of a run. */
export const queryCommands = (client: InfluxClient, runId: RunId, signal?: AbortSignal): Promise<CommandRecord[]> =>
  commandsWhere(client, `r.run == "${runId}"`, always, signal);

/** Distinct milliseconds of commands per query. */
const commandsPerPage = 200;

/** Where a record of a command is: the millisecond at which its hub received the command, and its rank. */
export interface CommandPlace {
  commandId: CommandId;
  timeMs: number;
  rank: number;
}

/** The places of all records of a run's commands. Two hubs may have received a command, at different times. */
export async function queryCommandPlaces(
  client: InfluxClient,
  runId: RunId,
  signal?: AbortSignal,
): Promise<CommandPlace[]> {
  const places: CommandPlace[] = [];
  await client.query(
    `${from(client, always)} |> filter(fn: (r) => r._measurement == "${commandMeasurement}" and r.run == "${runId}" and r._field == "command")
  |> keep(columns: ["_time", "_value", "rank"])`,
    (row) =>
      places.push({
        commandId: row('_value') as CommandId,
        timeMs: Date.parse(row('_time')),
        rank: Number(row('rank')),
      }),
    signal,
  );
  return places;
}

/** The place of the record that counts, by command: the one with the highest rank, and of equal ranks the last. */
export function decidingTimes(places: readonly CommandPlace[]): Map<CommandId, number> {
  const deciding = new Map<CommandId, CommandPlace>();
  for (const place of places)
    if (place.rank >= (deciding.get(place.commandId)?.rank ?? -1)) deciding.set(place.commandId, place);
  return new Map([...deciding].map(([commandId, { timeMs }]) => [commandId, timeMs]));
}

export const placeOf = (record: CommandRecord): CommandPlace => ({
  commandId: record.commandId,
  timeMs: Math.floor(record.receivedMs),
  rank: rankOf(record),
});

export const inPage = (record: CommandRecord, [firstMs, lastMs]: readonly [number, number]): boolean =>
  placeOf(record).timeMs >= firstMs && placeOf(record).timeMs <= lastMs;

/** First and last millisecond of each page of commands, ascending. @param timesMs when they were given, in any order */
export function commandPages(timesMs: readonly number[]): [firstMs: number, lastMs: number][] {
  const sorted = [...new Set(timesMs)].sort((a, b) => a - b);
  return Array.from({ length: Math.ceil(sorted.length / commandsPerPage) }, (_, page) => {
    const from = page * commandsPerPage;
    return [sorted[from]!, sorted[Math.min(sorted.length, from + commandsPerPage) - 1]!];
  });
}

/** The commands of a run that were given from one millisecond up to another. */
export const queryCommandsBetween = (
  client: InfluxClient,
  runId: RunId,
  [firstMs, lastMs]: [number, number],
  signal?: AbortSignal,
): Promise<CommandRecord[]> => {
  const at = (ms: number): string => new Date(ms).toISOString();
  return commandsWhere(client, `r.run == "${runId}"`, `start: ${at(firstMs)}, stop: ${at(lastMs + 1)}`, signal);
};

/** Oldest first. */
export const inOrder = (records: readonly CommandRecord[]): CommandRecord[] =>
  [...records].sort((a, b) => a.receivedMs - b.receivedMs || (a.commandId < b.commandId ? -1 : 1));

/** Commands of all runs that have only a pending record. */
export async function queryOpenCommands(client: InfluxClient): Promise<{ commandId: CommandId; runId: RunId }[]> {
  const open = new Map<string, string>();
  const ended = new Set<string>();
  await client.query(
    `${from(client, always)} |> filter(fn: (r) => r._measurement == "${commandMeasurement}" and r._field == "command")`,
    (row) => {
      if (row('rank') === '0') open.set(row('_value'), row('run'));
      else ended.add(row('_value'));
    },
  );
  return [...open]
    .filter(([commandId]) => !ended.has(commandId))
    .map(([commandId, runId]) => ({ commandId: commandId as CommandId, runId: runId as RunId }));
}

export async function queryCommand(client: InfluxClient, commandId: CommandId): Promise<CommandRecord | null> {
  let at: string | undefined;
  let highestRank = -1;
  await client.query(
    `${from(client, always)} |> filter(fn: (r) => r._measurement == "${commandMeasurement}" and r._field == "command")
  |> filter(fn: (r) => r._value == "${commandId}")`,
    (row) => {
      if (Number(row('rank')) < highestRank) return;
      highestRank = Number(row('rank'));
      at = row('_time');
    },
  );
  if (at === undefined) return null;
  const nextMs = new Date(Date.parse(at) + 1).toISOString();
  const found = await commandsWhere(client, `r._time == ${at}`, `start: ${at}, stop: ${nextMs}`);
  return found.find((record) => record.commandId === commandId) ?? null;
}

/** Reads the highest-ranking record of each command. */
async function commandsWhere(
  client: InfluxClient,
  where: string,
  range: string,
  signal?: AbortSignal,
): Promise<CommandRecord[]> {
  const found = await queryRecords(
    client,
    `${from(client, range)} |> filter(fn: (r) => r._measurement == "${commandMeasurement}" and ${where})`,
    signal,
  );
  return highest(found.map(({ fields }) => fromParts<CommandRecord>('record', fields)));
}

/** One record per command: the highest rank, and of equal ranks the later in the list. */
export function highest(records: readonly CommandRecord[]): CommandRecord[] {
  const byId = new Map<CommandId, CommandRecord>();
  for (const record of records) {
    const known = byId.get(record.commandId);
    if (!known || rankOf(record) >= rankOf(known)) byId.set(record.commandId, record);
  }
  return [...byId.values()];
}
