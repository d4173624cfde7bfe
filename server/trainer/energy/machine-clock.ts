import { cpus } from 'node:os';
import type { MachineUse } from './power-source.js';

interface Reading {
  atMs: number;
  processSeconds: number;
  busySeconds: number;
}

/** Measures the use of the machine between calls. */
export class MachineClock {
  #last = read();

  /** The use since the previous call, or since the clock was made. */
  lap(): MachineUse {
    const [before, now] = [this.#last, read()];
    this.#last = now;
    const seconds = (now.atMs - before.atMs) / 1000;
    const processSeconds = now.processSeconds - before.processSeconds;
    // The machine's counters move in ticks of 10 ms and may lag; machines without counters report 0.
    const busySeconds = Math.max(processSeconds, now.busySeconds - before.busySeconds);
    return {
      seconds,
      processSeconds,
      busySeconds,
      idleSeconds: Math.max(0, cpus().length * seconds - busySeconds),
      residentGb: process.memoryUsage.rss() / 1e9,
    };
  }
}

function read(): Reading {
  const { user, system } = process.cpuUsage();
  const busyMs = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  return { atMs: performance.now(), processSeconds: (user + system) / 1e6, busySeconds: busyMs / 1000 };
}
