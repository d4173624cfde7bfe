import type { RunId } from '@plumbline/shared/run';
import { unsentEventsVersion, type UnsentEventsHeader } from '@plumbline/shared/unsent-events';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { writeWhole } from './whole-file.js';

/** Writes what the hub did not take to a file that `npm run plumbline -- import` hands in; one that is there is replaced. */
export async function writeUnsentEvents(path: string, runId: RunId, events: readonly WireEvent[]): Promise<void> {
  const header: UnsentEventsHeader = { format: 'plumbline-unsent-events', version: unsentEventsVersion, runId };
  await writeWhole(path, [header, ...events].map((line) => `${JSON.stringify(line)}\n`).join(''));
}
