import type { RunConfig } from '@plumbline/shared/built-in/run-config';
import { Rng } from '@plumbline/shared/rng';
import type { Checkpoint } from './checkpoint.js';

/**
 * Turns a checkpoint into the start of a new run. A branch, which continues a run, takes the checkpoint as it is.
 *
 * | kept                             | why                                                                        |
 * |----------------------------------|----------------------------------------------------------------------------|
 * | weights, with a method's own     | the run starts from them; adapters and routers are drawn once              |
 * | step, and with it the schedule | steps are counted from the base model |
 * | the optimizer's moments          | they belong to the weights, and the schedule's warm-up is over; they rest on gradients, not on the seed |
 *
 * | reset                            | to                                                                         |
 * |----------------------------------|----------------------------------------------------------------------------|
 * | data order | the new run's seed. If it equals the seed of the checkpoint's run, the order continues: a restart would teach the same examples twice |
 * | learning rate, what is trained   | the new run's configuration                                                |
 * | guard rules                      | the new run's configuration, armed (the hub's part)                        |
 */
export function startNewRun(checkpoint: Checkpoint, config: RunConfig): Checkpoint {
  const { position } = checkpoint;
  const { seed, learningRate, recipe } = config;
  const dataRng = position.seed === seed ? position.dataRng : new Rng(seed).state;
  return {
    ...checkpoint,
    position: { ...position, dataRng, seed, learningRate, selection: { kind: 'recipe', recipe } },
  };
}
