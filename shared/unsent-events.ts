import { z } from 'zod';
import { RunId } from './run.js';

export const unsentEventsVersion = 2;

/**
 * The first line of a file with events that a trainer could not send to its hub. Each further line is one event, numbered
 * without a gap: a WireEvent, or in version 1 a TrainerEvent.
 */
export const UnsentEventsHeader = z.object({
  format: z.literal('plumbline-unsent-events'),
  version: z.literal([1, unsentEventsVersion]),
  runId: RunId,
});
export type UnsentEventsHeader = z.infer<typeof UnsentEventsHeader>;
