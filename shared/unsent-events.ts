import { z } from 'zod';
import { RunId } from './run.js';

export const unsentEventsVersion = 2;

/**
 * First line of a file of events that a trainer could not give to its hub; one event follows on each further line,
 * numbered without a gap: a WireEvent, or in version 1 a TrainerEvent.
 */
export const UnsentEventsHeader = z.object({
  format: z.literal('plumbline-unsent-events'),
  version: z.literal([1, unsentEventsVersion]),
  runId: RunId,
});
export type UnsentEventsHeader = z.infer<typeof UnsentEventsHeader>;
