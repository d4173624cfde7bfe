import type { Command } from 'commander';
import { namedModel, namedModels } from '@plumbline/shared/built-in/named-models';
import { UsageError } from '../usage-error.js';
import { runBuilt } from './prepare.js';

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
}
