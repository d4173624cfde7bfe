import { runCases, type Outcome } from './cases.js';
import { hubCases } from './hub-cases.js';
import type { HubUnderTest } from './played-trainer.js';
import { refusedTrainerCases, trainerCases, TrainerUnderTest } from './trainer-cases.js';

type Tell = (outcome: Outcome) => void;

/** Plays trainers against a hub. */
export const tryHub = (hub: HubUnderTest, tell: Tell = () => undefined): Promise<Outcome[]> =>
  runCases(hubCases, hub, tell);

/**
 * Plays a hub against a trainer.
 * @param command starts the trainer, in a shell
 */
export async function tryTrainer(command: string, tell: Tell = () => undefined): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const cases of [trainerCases, ...refusedTrainerCases.map((each) => [each])]) {
    const trainer = await TrainerUnderTest.start(command);
    try {
      outcomes.push(...(await runCases(cases, trainer, tell)));
    } finally {
      await trainer.remove();
    }
  }
  return outcomes;
}
