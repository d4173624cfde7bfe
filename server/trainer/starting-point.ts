import type { RunConfig } from '@plumbline/shared/built-in/run-config';
import { Rng } from '@plumbline/shared/rng';
import type { Checkpoint } from './checkpoint.js';

/**
 * A checkpoint as a new run starts from it. A run that goes on, as a branch does, takes the checkpoint as it is.
 *
 * | goes on                          | why                                                                        |
 * |----------------------------------|----------------------------------------------------------------------------|
 * | weights, with a method's own     | they are what the run starts from; adapters and routers are drawn once     |
 * | step, and with it the schedule   | steps are counted on from the base model                                   |
 * | the optimizer's moments          | they belong to the weights, and the schedule's warm-up is over; they rest on gradients, not on the seed |
 *
 * | starts afresh                    | from                                                                       |
 * |----------------------------------|----------------------------------------------------------------------------|
 * | data order                       | the new run's seed. With the seed of the checkpoint's run the order goes on where it was: from its beginning the run would be taught the same examples twice |
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
