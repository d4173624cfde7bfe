import { readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';

/*
 * A process beside the hub that asks it for /healthz every 10 ms on one connection and reads its memory, so that what the
 * attacker's own process does counts for nothing. Arguments: the hub's process id and port. Each message from the parent
 * is answered with what was seen since the last.
 */

/** What was seen since the last time. */
export interface Sampled {
  /** Most memory that the hub has had resident, MB. */
  peakMemoryMb: number;
  /**
   * Longest time in ms that an answer took, less the time in which the hub's main thread or this process stood ready to
   * run and had no processor: that is the machine's doing, not the hub's.
   */
  standstillMs: number;
  /**
   * Most ms of processor time that the hub's main thread took until an answer came. Without what it waited for: a lock, the
   * disk, or threads that had no processor.
   */
  busyMs: number;
}

const everyMs = 10;
const [pid, port] = process.argv.slice(2).map(Number) as [number, number];

/** ms that a process's main thread has had a processor, and that it has waited for one. */
function scheduled(id: number | 'self'): { ranMs: number; waitedMs: number } {
  try {
    const [ran, waited] = readFileSync(`/proc/${id}/schedstat`, 'utf8').split(' ');
    return { ranMs: Number(ran) / 1e6, waitedMs: Number(waited) / 1e6 };
  } catch {
    return { ranMs: 0, waitedMs: 0 }; // The hub has gone.
  }
}
const waitedMs = (id: number | 'self'): number => scheduled(id).waitedMs;
function residentMb(): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1000;
  } catch {
    return 0;
  }
}

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
  // From an address of its own, which nobody's limits concern.
  const made = createConnection({ port, host: '127.0.0.1', localAddress: '127.0.0.99' });
  made.on('data', () => {
    look();
    asked = null;
  });
  // A hub that cuts the connection or is down stands not still; it is missed elsewhere.
  made.on('error', () => undefined);
  made.on('close', () => {
    asked = null;
    if (socket === made) socket = null;
  });
  return made;
}
setInterval(() => {
  seen.peakMemoryMb = Math.max(seen.peakMemoryMb, residentMb());
  if (asked) {
    // Only what it waits for itself at the end delays its hearing of the answer.
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
