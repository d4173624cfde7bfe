import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { CommandId, type AskedAction, type AskedCommand, type CommandRecord } from '@plumbline/shared/command';
import { changesNothing } from '@plumbline/shared/command-change';
import { fourDigits } from '@plumbline/shared/metric';
import type { RunId } from '@plumbline/shared/run';
import { HubAway, HubRefusal, type HubApi } from '../hub-api.js';
import { exitCodes } from './exit-codes.js';
import { withHubOptions, type HubFlags } from './hub.js';
import { visibleLine } from '@plumbline/shared/plain-text';
import { sayError } from '../terminal.js';

/** How long one request waits for the command's end. */
const waitMs = 20_000;
/** How long a restarting hub is asked again; the command's id prevents a second execution. */
const awayLimitMs = 60_000;

export interface GiveFlags extends HubFlags {
  json?: true;
  wait: boolean;
}

/** Adds the options of `GiveFlags`. */
export const withGiveOptions = (command: Command): Command =>
  withHubOptions(command).option('--no-wait', 'do not wait for the command to end');

/**
 * Gives a run a command, waits for its end unless `--no-wait` is given, prints the outcome, and sets the exit code.
 * @returns the command's record
 * @throws HubRefusal, or HubAway when the hub does not answer for a minute
 */
export async function give(
  hub: HubApi,
  runId: RunId,
  action: AskedAction,
  { wait, json }: GiveFlags,
  say: (line: string) => void,
): Promise<CommandRecord> {
  const commandId = CommandId.parse(randomUUID());
  const record = await outcomeOf(hub, { commandId, runId, action }, wait);
  const isFine = record.state === 'applied' || record.state === 'pending';
  if (!isFine) process.exitCode = exitCodes.failed;
  if (json) say(JSON.stringify(record));
  else if (isFine) say(outcomeWords(record));
  else sayError(outcomeWords(record));
  return record;
}

async function outcomeOf(hub: HubApi, command: AskedCommand, wait: boolean): Promise<CommandRecord> {
  let answeredMs = Date.now();
  for (;;) {
    try {
      const record = await hub.give(command, wait ? waitMs : 0);
      if (!wait || record.state !== 'pending') return record;
      answeredMs = Date.now();
      // A stopping hub answers at once.
      await sleep(200);
    } catch (error) {
      if (!isPassing(error) || Date.now() - answeredMs > awayLimitMs) throw error;
      await sleep(500);
    }
  }
}

/** Whether trying again helps: the hub restarts, or the store is down. */
export const isPassing = (error: unknown): boolean =>
  error instanceof HubAway || (error instanceof HubRefusal && [429, 502, 503, 504].includes(error.status));

/** Describes the outcome of a command: `applied at step 120: learning rate 0.001 → 0.0001`. */
export function outcomeWords(record: CommandRecord): string {
  const { commandId, action, state, step, reason } = record;
  const what = action.kind.replaceAll('_', ' ');
  const at = step === null ? '' : ` at step ${step}`;
  if (state === 'pending') return `${what}: given, as ${commandId}`;
  if (state !== 'applied') return visibleLine(`${what}: ${state}${at}: ${reason}`);
  return visibleLine(`${what}: applied${at}: ${changeWords(record)}`);
}

/** Describes the changes of a command: `learning rate 0.001 → 0.0001, trainable parameters 10 → 4`. */
export function changeWords(change: Pick<CommandRecord, 'before' | 'after'>): string {
  if (changesNothing(change)) return 'nothing changed';
  const { before, after } = change;
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  const words = keys.flatMap((key) => {
    const [from, to] = [before?.[key], after?.[key]];
    if (JSON.stringify(from) === JSON.stringify(to)) return [];
    const name = key.replaceAll('_', ' ');
    return from === undefined || from === null
      ? [`${name} ${valueWords(to)}`]
      : [`${name} ${valueWords(from)} → ${valueWords(to)}`];
  });
  return words.join(', ') || 'done';
}

function valueWords(value: unknown): string {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : fourDigits(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return value === undefined || value === null ? 'none' : typeof value === 'string' ? value : JSON.stringify(value);
}
