import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { TrainerLaunch } from '@plumbline/shared/built-in/launch';
import { builtInSeries } from '@plumbline/shared/built-in/series';
import { issueWords, knownOnly } from '@plumbline/shared/known-only';
import { allPlain } from '@plumbline/shared/plain-text';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import { readConfig, rootDir } from '../config.js';
import { runTrainerProgram } from '../prepare/trainer-program.js';
import { readTokenFile } from '../given-file.js';
import { say } from '../terminal.js';
import { UsageError } from '../usage-error.js';
import { hubAddress } from './hub.js';
import { warnOfSeries } from './rules.js';

interface TrainFlags {
  hub: string;
  tokenFile: string;
  config: string;
  name?: string;
  dataDir?: string;
}

/** `plumbline train`: the built-in trainer on a machine of its own, with a hub that is elsewhere. */
export function addTrainCommand(program: Command): void {
  program
    .command('train')
    .description('train a run on this machine and bring it to a hub that may be on another')
    .requiredOption('--hub <url>', 'address of the hub')
    .requiredOption('--token-file <path>', "file with the hub's trainer token (trainer-token in its data folder)")
    .option('--name <name>', 'name of the run')
    .option(
      '--config <json>',
      'what the new-run form asks, e.g. {"tasks":["clock"],"recipe":"sa_proj","steps":800}',
      '{}',
    )
    .option('--data-dir <folder>', 'where checkpoints are kept (PLUMBLINE_DATA_DIR, .plumbline)')
    .action(async ({ hub, tokenFile, name, config, dataDir }: TrainFlags) => {
      const settings = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
      const launch: TrainerLaunch = {
        hubUrl: hubAddress(hub),
        token: readTokenFile(tokenFile),
        runId: RunId.parse(`remote-${randomUUID().slice(0, 8)}`),
        config: readRunConfig(config, name),
        parent: null,
        dataDir: settings.dataDir,
        energy: settings.energy,
      };
      warnOfSeries(launch.config.rules, { names: builtInSeries(launch.config), areAll: true });
      say(`Training ${launch.runId} (${launch.config.name}) for the hub at ${hub}; Ctrl-C saves and stops.`);
      process.exitCode = (await runTrainerProgram(rootDir, 'main', [], JSON.stringify(launch))) ?? 1;
    });
}

function readRunConfig(text: string, name?: string): RunConfig {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--config is no JSON: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new UsageError('--config takes a JSON object, e.g. {"tasks":["clock"],"steps":800}.');
  const parsed = knownOnly(RunConfig.superRefine(allPlain)).safeParse({ name: name ?? 'Remote run', ...given });
  if (parsed.success) return parsed.data;
  throw new UsageError(`--config: ${issueWords(parsed.error)}`);
}
