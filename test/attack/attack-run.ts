import { setTimeout as sleep } from 'node:timers/promises';
import type { Attack, Outcome } from './attack.js';
import { moveOn } from './raw-clients.js';
import { Victim } from './victim.js';

/** What must hold of the hub throughout. */
const limits = { memoryMb: 600, standstillMs: 250 };
/** An attack that does not end has something to do with the hub. */
const attackLimitMs = 300_000;
/** What one attack may make the hub write to its log. */
const maxLogBytes = 2_000_000;

/** What was seen of an attack that held. */
export const nothingWrong = 'nothing that should not be';

export interface AttackRunOptions {
  attacks: readonly Attack[];
  bigRunSteps: number;
  log: (line: string) => void;
}
export interface AttackRunResult {
  attempts: number;
  held: number;
  failed: number;
  /** Of the hub, whatever was asked of it. */
  peakMemoryMb: number;
  longestStandstillMs: number;
  /** Of which the hub's main thread had a processor. */
  longestBusyMs: number;
  outcomes: Outcome[];
}

/** Carries out attacks one after another on one hub, and looks after each at what became of it and of the honest. */
export async function runAttacks({ attacks, bigRunSteps, log }: AttackRunOptions): Promise<AttackRunResult> {
  const victim = await Victim.start({ bigRunSteps });
  const outcomes: Outcome[] = [];
  try {
    for (const attack of attacks) {
      const startMs = performance.now();
      const outcome = await carryOut(attack, victim, limits.standstillMs);
      outcomes.push(outcome);
      const { name, held, saw, peakMemoryMb, standstillMs, busyMs } = outcome;
      const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
      log(
        `${held ? 'held  ' : 'FAILED'} ${name}: ${saw} (${seconds} s, ${peakMemoryMb} MB, ${standstillMs} ms, busy ${busyMs} ms)`,
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
    outcomes,
  };
}

/**
 * Carries out one, looks at what became of it, and leaves a hub as new where it did not hold.
 * @param maxStandstillMs without one, how long the event loop stood still is measured and not judged
 */
export async function carryOut(attack: Attack, victim: Victim, maxStandstillMs = Infinity): Promise<Outcome> {
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
  const busyMs = Math.round(measured.busyMs);
  if (peakMemoryMb > limits.memoryMb) seen.push(`the hub took ${peakMemoryMb} MB`);
  if (standstillMs > maxStandstillMs) seen.push(`its event loop stood still for ${standstillMs} ms`);
  const wrong = seen.filter((one) => one !== null);
  if (wrong.length > 0) await victim.restart();
  return {
    ...{ name: attack.name, held: wrong.length === 0, peakMemoryMb, standstillMs, busyMs },
    saw: wrong.length === 0 ? nothingWrong : wrong.join('; '),
  };
}

/** A log is for people: it is not flooded, and a line at level error says what was wrong. */
function logFault(log: string): string | null {
  if (log.length > maxLogBytes) return `the hub logged ${log.length} bytes`;
  for (const text of log.split('\n')) {
    if (!/"level":(50|60)/.test(text)) continue;
    const line = parsed(text);
    if (line && !line['msg'] && !line['err']) return `the log has a line at level error that says nothing: ${text}`;
  }
  return null;
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null; // What is printed for people.
  }
}
