import { InvalidArgumentError, type Command } from 'commander';
import { LearningRate } from '@plumbline/shared/run';
import { give, withGiveOptions, type GiveFlags } from './give-command.js';
import { findRun, hubOf } from './hub.js';

/** `plumbline lr RUN RATE`. */
export function addLearningRateCommand(program: Command, say: (line: string) => void): void {
  withGiveOptions(
    program
      .command('lr')
      .description('set the learning rate that the schedule scales')
      .argument('<run>', 'id of the run, or the beginning of it')
      .argument('<rate>', 'e.g. 1e-4', learningRate),
  ).action(async (text: string, rate: number, flags: GiveFlags) => {
    const hub = hubOf(flags);
    const { runId } = await findRun(hub, text);
    await give(hub, runId, { kind: 'set_learning_rate', learningRate: rate }, flags, say);
  });
}

function learningRate(text: string): number {
  const parsed = LearningRate.safeParse(text.trim() === '' ? NaN : Number(text));
  if (!parsed.success) throw new InvalidArgumentError(`${parsed.error.issues[0]!.message}.`);
  return parsed.data;
}
