import { readFileSync } from 'node:fs';

const mbOf = (processId: number, line: string): number => {
  const [, kb] = new RegExp(`${line}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${processId}/status`, 'utf8')) ?? [];
  return Number(kb) / 1024;
};
/** MiB that a process holds in memory now. */
export const residentMb = (processId: number): number => mbOf(processId, 'VmRSS');
/** The most MiB that a process has held so far. */
export const peakMb = (processId: number): number => mbOf(processId, 'VmHWM');
