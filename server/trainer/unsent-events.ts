import type { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import type { UnsentEventsHeader } from '@plumbline/shared/unsent-events';
import { writeWhole } from './whole-file.js';

/** Writes what the hub did not take to a file that `npm run plumbline -- import` hands in; one that is there is replaced. */
export async function writeUnsentEvents(path: string, runId: RunId, events: readonly TrainerEvent[]): Promise<void> {
  const header: UnsentEventsHeader = { format: 'plumbline-unsent-events', version: 1, runId };
  await writeWhole(path, [header, ...events].map((line) => `${JSON.stringify(line)}\n`).join(''));
}
