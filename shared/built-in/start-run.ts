import { z } from 'zod';
import { knownOnly } from '../known-only.js';
import { allPlain } from '../plain-text.js';
import { StartingPoint } from '../run.js';
import { RunConfig } from './run-config.js';

/** POST /api/runs: starts the built-in trainer, from the base model or from a checkpoint of another run. */
export const StartRunRequest = knownOnly(
  z.object({
    config: RunConfig.superRefine(allPlain),
    from: StartingPoint.optional(),
  }),
);
export type StartRunRequest = z.infer<typeof StartRunRequest>;
