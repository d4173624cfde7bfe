import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Option, type Command } from 'commander';
import type { TrainerLaunch } from '@plumbline/shared/built-in/launch';
import { builtInSeries } from '@plumbline/shared/built-in/series';
import { issueWords, knownOnly } from '@plumbline/shared/known-only';
import { allPlain, visibleLine } from '@plumbline/shared/plain-text';
import { builtInConfig, totalSteps } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { hasEnded, RunId } from '@plumbline/shared/run';
import { checkpointsOf } from '@plumbline/shared/segments';
import { readConfig, rootDir } from '../config.js';
import { runTrainerProgram } from '../prepare/trainer-program.js';
import { readTokenFile } from '../given-file.js';
import { say } from '../terminal.js';
import { UsageError } from '../usage-error.js';
import type { HubApi } from '../hub-api.js';
import { findRun, hubAddress, hubOf } from './hub.js';
import { warnOfSeries } from './rules.js';

interface TrainFlags {
  hub: string;
  tokenFile: string;
  config: string;
  name?: string;
  resume?: string;
  checkpoint?: string;
  dataDir?: string;
}

/** `plumbline train`: runs the built-in trainer on this machine, for a hub elsewhere. */
export function addTrainCommand(program: Command): void {
  program
    .command('train')
    .description('train a run on this machine for a hub that may be on another')
    .requiredOption('--hub <url>', 'address of the hub')
    .requiredOption('--token-file <path>', "file with the hub's trainer token (trainer-token in its data folder)")
    .option('--name <name>', 'name of the run')
    .option(
      '--config <json>',
      'what the new-run form asks, e.g. {"tasks":["clock"],"recipe":"sa_proj","steps":800}',
      '{}',
    )
    .addOption(
      new Option('--resume <run>', 'continue an ended run under its id, from a checkpoint on this machine').conflicts([
        'config',
        'name',
      ]),
    )
    .option('--checkpoint <id>', 'the checkpoint to continue from (the newest)')
    .option('--data-dir <folder>', 'where checkpoints are kept (PLUMBLINE_DATA_DIR, .plumbline)')
    .action(async (flags: TrainFlags) => {
      const { hub, tokenFile, name, config, resume, checkpoint } = flags;
      if (checkpoint !== undefined && resume === undefined) throw new UsageError('--checkpoint goes with --resume.');
      const settings = readConfig({ PLUMBLINE_DATA_DIR: flags.dataDir });
      const launch: TrainerLaunch = {
        hubUrl: hubAddress(hub),
        token: readTokenFile(tokenFile),
        ...(resume === undefined
          ? {
              runId: RunId.parse(`remote-${randomUUID().slice(0, 8)}`),
              config: readRunConfig(config, name),
              parent: null,
            }
          : await runToResume(hubOf(flags), resume, checkpoint, settings.dataDir)),
        dataDir: settings.dataDir,
        energy: settings.energy,
      };
      warnOfSeries(launch.config.rules, { names: builtInSeries(launch.config), areAll: true });
      const what = launch.segment
        ? `Going on with ${launch.runId} from ${launch.segment.checkpointId}`
        : `Training ${launch.runId}`;
      say(`${what} (${launch.config.name}) for the hub at ${hub}; Ctrl-C saves and stops.`);
      process.exitCode = (await runTrainerProgram(rootDir, 'main', [], JSON.stringify(launch))) ?? 1;
    });
}

/** An ended run and its checkpoint on this machine to continue from. @throws Error saying why it cannot continue here */
async function runToResume(
  hub: HubApi,
  text: string,
  asked: string | undefined,
  dataDir: string,
): Promise<Pick<TrainerLaunch, 'runId' | 'config' | 'parent' | 'segment'>> {
  const run = await findRun(hub, text);
  const { runId, parent } = run;
  if (!hasEnded(run.state) && run.trainerConnected)
    throw new Error(`${runId} is ${run.state} with its trainer: stop it first, or pause and resume it.`);
  const { events } = await hub.controlEvents(runId);
  const folder = join(dataDir, 'runs', runId, 'checkpoints');
  const here = checkpointsOf(events).filter(({ checkpointId }) => existsSync(join(folder, checkpointId)));
  const from = asked === undefined ? here.at(-1) : here.find(({ checkpointId }) => checkpointId === asked);
  if (!from) {
    const which = asked === undefined ? 'No checkpoint' : `The checkpoint ${visibleLine(asked)}`;
    const there = here.length > 0 ? ` There are ${here.map(({ checkpointId }) => checkpointId).join(', ')}.` : '';
    throw new Error(
      `${which} of ${runId} is ${asked === undefined ? '' : 'not '}in ${folder}.${there} Go on with it on the machine that trained it, with its --data-dir.`,
    );
  }
  const config = builtInConfig(run.description);
  if (config === null) throw new Error(`${runId} is a run of another trainer; only that can continue it.`);
  if (from.step >= totalSteps(config))
    throw new Error(
      `${from.checkpointId} of ${runId} is at the last of its ${totalSteps(config)} steps: there is nothing to go on with. ` +
        'Choose an earlier one with --checkpoint.',
    );
  const checked = RunConfig.safeParse(config);
  if (!checked.success)
    throw new Error(
      `${runId} has settings that this version cannot train with: ${issueWords(checked.error)}. Start a new run instead.`,
    );
  return { runId, config: checked.data, parent, segment: { checkpointId: from.checkpointId } };
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
