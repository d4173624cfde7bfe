import { readFileSync } from 'node:fs';

/** 0 if the process is gone. */
function mbOf(processId: number, line: string): number {
  try {
    const [, kb] = new RegExp(`${line}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${processId}/status`, 'utf8')) ?? [];
    return Number(kb ?? 0) / 1024;
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return 0;
    throw error;
  }
}
/** MiB that a process holds in memory now; 0 if it is gone. */
export const residentMb = (processId: number): number => mbOf(processId, 'VmRSS');
/** The most MiB that a process has held so far. */
export const peakMb = (processId: number): number => mbOf(processId, 'VmHWM');
