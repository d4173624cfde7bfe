import { setTimeout as sleep } from 'node:timers/promises';
import type { Attack, Outcome } from './attack.js';
import { moveOn } from './raw-clients.js';
import { Victim } from './victim.js';

/** The most memory of the hub during every attack. */
const maxMemoryMb = 600;
/** Times that depend on the machine: they are judged only where nothing else runs on it. */
interface TimeLimits {
  /** The longest block of the hub's event loop. */
  standstillMs: number;
  /** The longest wait of an honest trainer for an acknowledgement. */
  ackMs: number;
}
const timeLimits: TimeLimits = { standstillMs: 250, ackMs: 2500 };
/** An attack that takes longer counts as a fault of the hub. */
const attackLimitMs = 300_000;
/** The most that one attack may add to the hub's log. */
const maxLogBytes = 2_000_000;

/** The report on an attack that the hub withstood. */
export const nothingWrong = 'nothing wrong';

export interface AttackRunOptions {
  attacks: readonly Attack[];
  bigRunSteps: number;
  log: (line: string) => void;
}
export interface AttackRunResult {
  attempts: number;
  held: number;
  failed: number;
  /** Of the hub, over all attacks. */
  peakMemoryMb: number;
  longestStandstillMs: number;
  /** Processor time of the hub's main thread in one go. */
  longestBusyMs: number;
  longestAckMs: number;
  outcomes: Outcome[];
}

/** Carries out attacks one after another on one hub, and after each one checks the hub and its honest clients. */
export async function runAttacks({ attacks, bigRunSteps, log }: AttackRunOptions): Promise<AttackRunResult> {
  const victim = await Victim.start({ bigRunSteps });
  const outcomes: Outcome[] = [];
  try {
    for (const attack of attacks) {
      const startMs = performance.now();
      const outcome = await carryOut(attack, victim, timeLimits);
      outcomes.push(outcome);
      const { name, held, saw, peakMemoryMb, standstillMs, busyMs, longestAckMs } = outcome;
      const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
      log(
        `${held ? 'held  ' : 'FAILED'} ${name}: ${saw} ` +
          `(${seconds} s, ${peakMemoryMb} MB, ${standstillMs} ms, busy ${busyMs} ms, acknowledged in ${longestAckMs} ms)`,
      );
    }
  } finally {
    await victim.remove();
  }
  const held = outcomes.filter((outcome) => outcome.held).length;
  return {
    ...{ attempts: outcomes.length, held, failed: outcomes.length - held },
    peakMemoryMb: Math.max(0, ...outcomes.map(({ peakMemoryMb }) => peakMemoryMb)),
    longestStandstillMs: Math.max(0, ...outcomes.map(({ standstillMs }) => standstillMs)),
    longestBusyMs: Math.max(0, ...outcomes.map(({ busyMs }) => busyMs)),
    longestAckMs: Math.max(0, ...outcomes.map(({ longestAckMs }) => longestAckMs)),
    outcomes,
  };
}

/**
 * Carries out one attack, checks its effects, and restarts the hub if it did not withstand it.
 * @param times without them times are measured but not judged
 */
export async function carryOut(attack: Attack, victim: Victim, times?: TimeLimits): Promise<Outcome> {
  moveOn();
  victim.newLog();
  await victim.measured();
  const limit = sleep(attack.limitMs ?? attackLimitMs, 'it did not end in time', { ref: false });
  const result = attack.run(victim).catch((error: unknown) => `it broke off: ${String(error)}`);
  const seen = [await Promise.race([result, limit])];
  const log = victim.newLog();
  seen.push(...(await victim.faults()), logFault(log));
  const measured = await victim.measured();
  const [peakMemoryMb, standstillMs] = [Math.round(measured.peakMemoryMb), Math.round(measured.standstillMs)];
  const [busyMs, longestAckMs] = [Math.round(measured.busyMs), Math.round(measured.longestAckMs)];
  if (peakMemoryMb > maxMemoryMb) seen.push(`the hub took ${peakMemoryMb} MB`);
  if (times && standstillMs > times.standstillMs) seen.push(`its event loop stood still for ${standstillMs} ms`);
  if (times && longestAckMs > times.ackMs)
    seen.push(`an honest trainer waited ${longestAckMs} ms for an acknowledgement`);
  const wrong = seen.filter((one) => one !== null);
  if (wrong.length > 0) await victim.restart();
  return {
    ...{ name: attack.name, held: wrong.length === 0, peakMemoryMb, standstillMs, busyMs, longestAckMs },
    saw: wrong.length === 0 ? nothingWrong : wrong.join('; '),
  };
}

/** A log is for people: it must not be flooded, and a line at level error must say what was wrong. */
function logFault(log: string): string | null {
  if (log.length > maxLogBytes) return `the hub logged ${log.length} bytes`;
  for (const text of log.split('\n')) {
    if (!/"level":(50|60)/.test(text)) continue;
    const line = parsed(text);
    if (line && !line['msg'] && !line['err']) return `the log has an empty line at level error: ${text}`;
  }
  return null;
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null; // Output for people.
  }
}
