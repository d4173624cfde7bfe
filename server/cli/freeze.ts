import { Option, type Command } from 'commander';
import { describeSelection, resolveSelection } from '@plumbline/shared/selection';
import { TrainableSelection } from '@plumbline/shared/parameter';
import type { RunId } from '@plumbline/shared/run';
import type { HubApi } from '../hub-api.js';
import { UsageError } from '../usage-error.js';
import { currentTraining } from './current-training.js';
import { give, withGiveOptions, type GiveFlags } from './give-command.js';
import { findRun, hubOf } from './hub.js';
import { visibleLine } from '@plumbline/shared/plain-text';

interface Flags extends GiveFlags {
  recipe?: string;
  groups?: string[];
  pattern?: string;
  preview?: true;
}

/** The effect of a selection on a run. */
interface Preview {
  runId: RunId;
  selection: TrainableSelection;
  /** Sizes of the tensors that would be trained, and of all. */
  trainableSize: number;
  totalSize: number;
  /** Names of tensors. */
  trainable: string[];
  newlyTrained: string[];
  newlyFrozen: string[];
}

/** `plumbline freeze RUN`: selects what is trained from now on. */
export function addFreezeCommand(program: Command, say: (line: string) => void): void {
  withGiveOptions(
    program
      .command('freeze')
      .description('train only the selected parameters from now on, and freeze all others')
      .argument('<run>', 'id of the run, or the beginning of it')
      .addOption(
        new Option('--recipe <recipe>', 'by one of the recipes that the run has').conflicts(['groups', 'pattern']),
      )
      .addOption(
        new Option(
          '--groups <groups>',
          'by parameter groups, with commas between; `plumbline show RUN --groups` lists them',
        )
          .argParser((text: string) => text.split(',').map((group) => group.trim()))
          .conflicts('pattern'),
      )
      .option('--pattern <pattern>', "by names, with commas between and * for anything: 'language_model.*.mlp.*'")
      .option('--preview', 'print how many parameters this selects, and change nothing'),
  ).action(async (text: string, flags: Flags) => {
    const selection = selectionOf(flags);
    const hub = hubOf(flags);
    const { runId } = await findRun(hub, text);
    const preview = await previewOf(hub, runId, selection);
    if (flags.preview) return say(flags.json ? JSON.stringify(preview) : previewWords(preview));
    if (!flags.json) say(previewWords(preview));
    await give(hub, runId, { kind: 'set_trainable', selection }, flags, say);
  });
}

function selectionOf({ recipe, groups, pattern }: Flags): TrainableSelection {
  const asked =
    recipe !== undefined
      ? { kind: 'recipe', recipe }
      : groups !== undefined
        ? { kind: 'groups', groups }
        : pattern !== undefined
          ? { kind: 'pattern', pattern }
          : null;
  if (asked === null) throw new UsageError('Say what to train: --recipe, --groups or --pattern.');
  const parsed = TrainableSelection.safeParse(asked);
  if (!parsed.success) throw new UsageError(`--${asked.kind}: ${parsed.error.issues[0]!.message}.`);
  return parsed.data;
}

/** Previews a selection. @throws Error when the run's model is unknown, UsageError when it selects nothing */
async function previewOf(hub: HubApi, runId: RunId, selection: TrainableSelection): Promise<Preview> {
  const { events } = await hub.controlEvents(runId);
  const now = currentTraining(events);
  if (!now) throw new Error(`${runId} has not started yet: its parameters are not known.`);
  const resolved = resolveSelection(selection, now.model);
  if (!resolved.ok) {
    throw new UsageError(`${resolved.reason} \`plumbline show ${runId} --groups\` lists groups and recipes.`);
  }
  const { trainable, trainableSize, totalSize } = resolved;
  const [before, after] = [new Set(now.trainable), new Set(trainable)];
  return {
    ...{ runId, selection, trainableSize, totalSize, trainable },
    newlyTrained: trainable.filter((name) => !before.has(name)),
    newlyFrozen: [...before].filter((name) => !after.has(name)),
  };
}

function previewWords(preview: Preview): string {
  const { selection, trainableSize, totalSize, trainable, newlyTrained, newlyFrozen } = preview;
  const share = totalSize === 0 ? 0 : (100 * trainableSize) / totalSize;
  const number = (value: number): string => value.toLocaleString('en-US');
  return visibleLine(
    `${describeSelection(selection)}: ${number(trainableSize)} of ${number(totalSize)} parameters (${share.toFixed(1)} %) ` +
      `in ${number(trainable.length)} ${trainable.length === 1 ? 'tensor' : 'tensors'}; ` +
      `${number(newlyTrained.length)} newly trained, ${number(newlyFrozen.length)} newly frozen`,
  );
}
