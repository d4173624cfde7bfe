import type { RunId } from '@plumbline/shared/run';
import { unsentEventsVersion, type UnsentEventsHeader } from '@plumbline/shared/unsent-events';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { writeWhole } from './whole-file.js';

/**
 * Writes the events that the hub did not accept to a file for `npm run plumbline -- import`. Replaces an existing file.
 */
export async function writeUnsentEvents(path: string, runId: RunId, events: readonly WireEvent[]): Promise<void> {
  const header: UnsentEventsHeader = { format: 'plumbline-unsent-events', version: unsentEventsVersion, runId };
  await writeWhole(path, [header, ...events].map((line) => `${JSON.stringify(line)}\n`).join(''));
}
