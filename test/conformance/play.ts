import { runCases, type Outcome } from './cases.js';
import { hubCases } from './hub-cases.js';
import type { HubUnderTest } from './played-trainer.js';
import { refusedTrainerCases, trainerCases, TrainerUnderTest } from './trainer-cases.js';

type Tell = (outcome: Outcome) => void;

/** Tests a hub with played trainers. */
export const tryHub = (hub: HubUnderTest, tell: Tell = () => undefined): Promise<Outcome[]> =>
  runCases(hubCases, hub, tell);

/**
 * Tests a trainer with a played hub.
 * @param command shell command that starts the trainer
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
