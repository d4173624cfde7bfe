import type { RunId } from '@plumbline/shared/run';
import type { FeedTransport } from './run-feed';

type Reads = Pick<FeedTransport, 'events' | 'commands'>;

/** Asks the hub once for the events and the commands of each run, however many ask. A failed read is asked again. */
export function sharedReads(hub: Reads): Reads {
  return { events: once((runId) => hub.events(runId)), commands: once((runId) => hub.commands(runId)) };
}

function once<T>(read: (runId: RunId) => Promise<T>): (runId: RunId) => Promise<T> {
  const reads = new Map<RunId, Promise<T>>();
  return (runId) => {
    const known = reads.get(runId);
    if (known) return known;
    const reading = read(runId);
    reads.set(runId, reading);
    reading.catch(() => reads.delete(runId));
    return reading;
  };
}
