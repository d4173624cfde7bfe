import { readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { residentMb } from '../support/process-memory.js';

/*
 * A process that asks the hub for /healthz every 10 ms on one connection and reads its memory, independent of the
 * attacker's own process. Arguments: the hub's process id and port. It answers each message from the parent with the
 * measurements since the last one.
 */

/** Measurements since the last call. */
export interface Sampled {
  /** The hub's peak resident memory, MiB. */
  peakMemoryMb: number;
  /**
   * The longest time in ms of an answer, less the time in which the hub's main thread or this process was ready to run
   * but had no processor: that is the machine's fault, not the hub's.
   */
  standstillMs: number;
  /**
   * The longest processor time in ms of the hub's main thread until an answer came. Excludes waiting for a lock, the
   * disk, or threads without a processor.
   */
  busyMs: number;
}

const everyMs = 10;
const [pid, port] = process.argv.slice(2).map(Number) as [number, number];

/** Time in ms that a process's main thread has run, and has waited for a processor. */
function scheduled(id: number | 'self'): { ranMs: number; waitedMs: number } {
  try {
    const [ran, waited] = readFileSync(`/proc/${id}/schedstat`, 'utf8').split(' ');
    return { ranMs: Number(ran) / 1e6, waitedMs: Number(waited) / 1e6 };
  } catch {
    return { ranMs: 0, waitedMs: 0 }; // The hub has gone.
  }
}
const waitedMs = (id: number | 'self'): number => scheduled(id).waitedMs;

interface Asked {
  sentMs: number;
  hubRanMs: number;
  hubWaitedMs: number;
  ownWaitedMs: number;
}
const seen: Sampled = { peakMemoryMb: 0, standstillMs: 0, busyMs: 0 };
let asked: Asked | null = null;
let socket: Socket | null = null;

function look(): void {
  if (!asked) return;
  const hub = scheduled(pid);
  const waited = hub.waitedMs - asked.hubWaitedMs + waitedMs('self') - asked.ownWaitedMs;
  seen.busyMs = Math.max(seen.busyMs, hub.ranMs - asked.hubRanMs);
  seen.standstillMs = Math.max(seen.standstillMs, performance.now() - asked.sentMs - Math.max(0, waited));
}
function connect(): Socket {
  // From an address of its own, which shares no limit with others.
  const made = createConnection({ port, host: '127.0.0.1', localAddress: '127.0.0.99' });
  made.on('data', () => {
    look();
    asked = null;
  });
  // A hub that cuts the connection or is down does not stand still; other checks find that.
  made.on('error', () => undefined);
  made.on('close', () => {
    asked = null;
    if (socket === made) socket = null;
  });
  return made;
}
setInterval(() => {
  seen.peakMemoryMb = Math.max(seen.peakMemoryMb, residentMb(pid));
  if (asked) {
    // Only its own wait at the end delays the receipt of the answer.
    asked.ownWaitedMs = waitedMs('self');
    return;
  }
  const hub = scheduled(pid);
  asked = {
    ...{ sentMs: performance.now(), hubRanMs: hub.ranMs, hubWaitedMs: hub.waitedMs },
    ownWaitedMs: waitedMs('self'),
  };
  socket ??= connect();
  socket.write(`GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`);
}, everyMs);
process.on('message', () => {
  look();
  process.send!({ ...seen } satisfies Sampled);
  Object.assign(seen, { peakMemoryMb: 0, standstillMs: 0, busyMs: 0 });
});
process.on('disconnect', () => process.exit(0));
