import { z } from 'zod';
import { EnergySettings } from '../energy.js';
import { RunConfig } from './run-config.js';
import { CheckpointId, RunId, RunParent } from '../run.js';
import { TrainerSecret } from '../socket.js';

/**
 * What the hub gives a built-in trainer: one JSON object on its standard input.
 * From there on the trainer speaks to the hub like any remote one.
 */
export const TrainerLaunch = z.object({
  /** e.g. `http://127.0.0.1:4517` */
  hubUrl: z.url(),
  token: z.string().min(1).max(200),
  runId: RunId,
  config: RunConfig,
  /** A branch starts from `<dataDir>/runs/<parent.runId>/checkpoints/<parent.checkpointId>`. */
  parent: RunParent.nullable(),
  /** The run has ended and goes on from this checkpoint of its own, as another segment. */
  segment: z.object({ checkpointId: CheckpointId }).optional(),
  /** What the run is the trainer's by; see Attach. */
  secret: TrainerSecret.optional(),
  /** Absolute; a run's own folder is `<dataDir>/runs/<runId>`. */
  dataDir: z.string().min(1),
  energy: EnergySettings,
});
export type TrainerLaunch = z.infer<typeof TrainerLaunch>;
