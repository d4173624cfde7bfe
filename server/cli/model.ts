import type { Command } from 'commander';
import { namedModel, namedModels } from '@plumbline/shared/built-in/named-models';
import { UsageError } from '../usage-error.js';
import { runBuilt } from './prepare.js';
import { wholeNumber } from './whole-number.js';

/** `plumbline model`: pretrained models on this machine. */
export function addModelCommands(program: Command): void {
  const model = program.command('model').description('pretrained models');
  model
    .command('fetch')
    .description('download a named model once, check it and convert it to safetensors in the cache')
    .argument('<name>', namedModels.map(({ name }) => name).join(', '))
    .action(async (name: string) => {
      if (!namedModel(name))
        throw new UsageError(
          `There is no model "${name}" to fetch; there is ${namedModels.map((each) => each.name).join(', ')}.`,
        );
      await runBuilt('fetch-model', [name]);
    });
  model
    .command('inspect')
    .description('print family, sizes, parts and recipes of a model, and the memory that training it takes')
    .argument('<model>', 'a name, or a folder in the Hugging Face layout')
    .option('--batch <texts>', 'texts in a batch', wholeNumber(1), 8)
    .option('--length <tokens>', 'tokens of a text', wholeNumber(2), 64)
    .option('--answers <tokens>', 'predicted tokens of a text', wholeNumber(1), 8)
    .action((given: string, { batch, length, answers }: { batch: number; length: number; answers: number }) =>
      runBuilt('inspect-model', [given, ...[batch, length, answers].map(String)]),
    );
}
