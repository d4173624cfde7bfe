import { z } from 'zod';
import { EnergySettings } from '../energy.js';
import { RunConfig } from './run-config.js';
import { CheckpointId, RunId, RunParent } from '../run.js';
import { TrainerSecret } from '../socket.js';

/**
 * The input of a built-in trainer: one JSON object on its standard input. After that it talks to the hub like any remote
 * trainer.
 */
export const TrainerLaunch = z.object({
  /** e.g. `http://127.0.0.1:4517` */
  hubUrl: z.url(),
  token: z.string().min(1).max(200),
  runId: RunId,
  config: RunConfig,
  /** A branch starts from `<dataDir>/runs/<parent.runId>/checkpoints/<parent.checkpointId>`. */
  parent: RunParent.nullable(),
  /** The ended run continues from this checkpoint of its own, as another segment. */
  segment: z.object({ checkpointId: CheckpointId }).optional(),
  /** The secret that proves the trainer's ownership of the run; see Attach. */
  secret: TrainerSecret.optional(),
  /** Absolute; a run's own folder is `<dataDir>/runs/<runId>`. */
  dataDir: z.string().min(1),
  energy: EnergySettings,
});
export type TrainerLaunch = z.infer<typeof TrainerLaunch>;
