import { z } from 'zod';
import { RunId } from './run.js';

export const unsentEventsVersion = 1;

/**
 * First line of a file of events that a trainer could not give to its hub; one TrainerEvent follows on each further
 * line, numbered without a gap.
 */
export const UnsentEventsHeader = z.object({
  format: z.literal('plumbline-unsent-events'),
  version: z.literal(unsentEventsVersion),
  runId: RunId,
});
export type UnsentEventsHeader = z.infer<typeof UnsentEventsHeader>;
