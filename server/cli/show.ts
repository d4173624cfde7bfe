import type { Command } from 'commander';
import type { CommandRecord } from '@plumbline/shared/command';
import type { CheckpointsResponse, HistoryResponse } from '@plumbline/shared/http';
import { wallTimeSeries, type WireNumber } from '@plumbline/shared/metric';
import { describeSelection } from '@plumbline/shared/selection';
import type { RunSummary } from '@plumbline/shared/run';
import { declaredIn } from '@plumbline/shared/series-facts';
import type { SeriesDeclaration } from '@plumbline/shared/series';
import { taskLabel } from '@plumbline/shared/run-tasks';
import { settingEntries, settingName, settingValue } from '@plumbline/shared/settings-list';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { HubApi } from '../hub-api.js';
import { currentTraining } from './current-training.js';
import { outcomeWords } from './give-command.js';
import { findRun, hubOf, withHubOptions, type HubFlags } from './hub.js';
import { keyMetrics, keyWord, seriesWord, valueWords } from './key-metrics.js';
import { showLarge } from './large-events.js';
import { modelLines, modelOf } from './model-lines.js';
import { table } from './table.js';
import { visibleLine } from '@plumbline/shared/plain-text';

interface Shown {
  run: RunSummary;
  /** Last values of all series, by name. */
  last: Record<string, { step: number; value: WireNumber } & Pick<SeriesDeclaration, 'label' | 'unit' | 'better'>>;
  /** The current selection of trained parameters; null before the run has started. */
  trainable: { selection: string; parameters: number; of: number } | null;
  checkpoints: CheckpointsResponse['checkpoints'];
  commands: CommandRecord[];
}

interface Flags extends HubFlags {
  groups?: true;
  tokens?: true;
  examples?: true;
  json?: true;
}

/** Last values printed for people where the run has as many; programs get all. */
const leastShown = 4;
/** Most commands printed for people; programs get all. */
const shownCommands = 10;

/** `plumbline show RUN`: prints the state of a run. */
export function addShowCommand(program: Command, say: (line: string) => void): void {
  withHubOptions(
    program
      .command('show')
      .description('print the state of a run: settings, last values, what is trained, checkpoints, commands')
      .argument('<run>', 'id of the run, or the beginning of it')
      .option('--groups', "list the model's recipes and parameter groups, as freeze takes them, instead")
      .option(
        '--tokens',
        'list the tokens with the largest gains and losses of probability against the base model, instead',
      )
      .option('--examples', 'list what the model answers to examples, beside the base model, instead'),
  ).action(async (text: string, flags: Flags) => {
    const hub = hubOf(flags);
    const run = await findRun(hub, text);
    if (flags.groups) {
      const model = await modelOf(hub, run);
      if (flags.json) return say(JSON.stringify(model));
      for (const line of modelLines(model)) say(line);
      return;
    }
    if (flags.tokens || flags.examples) return showLarge(hub, run, flags, say);
    const shown = await read(hub, run);
    if (flags.json) return say(JSON.stringify(shown));
    for (const line of lines(shown)) say(line);
  });
}

async function read(hub: HubApi, run: RunSummary): Promise<Shown> {
  const { runId } = run;
  const [{ series }, { events }, { checkpoints }, commands] = await Promise.all([
    hub.get<HistoryResponse>(`/runs/${runId}/latest?metric=*`),
    hub.controlEvents(runId),
    hub.get<CheckpointsResponse>(`/runs/${runId}/checkpoints`),
    hub.commands(runId),
  ]);
  const declared = declaredIn(events);
  const last = Object.entries(series).flatMap(([name, { steps, values }]) =>
    steps.length === 0
      ? []
      : [[name, { step: steps.at(-1)!, value: values.at(-1)!, ...factsOf(declared.get(name)) }] as const],
  );
  return { run, last: Object.fromEntries(last), trainable: trainableOf(events), checkpoints, commands };
}

function factsOf(declared: SeriesDeclaration | undefined): Pick<SeriesDeclaration, 'label' | 'unit' | 'better'> {
  const { label, unit, better } = declared ?? {};
  return { ...(label !== undefined && { label }), ...(unit !== undefined && { unit }), ...(better && { better }) };
}

/** The key series, then as many others as a line has room for: first those whose better direction is declared. */
function shownOf(last: Shown['last']): [string, Shown['last'][string]][] {
  const key = keyMetrics.flatMap(({ name }) => (last[name] ? [name] : []));
  const others = Object.keys(last).filter((name) => name !== wallTimeSeries && keyWord(name) === undefined);
  const isJudged = (name: string): boolean => last[name]!.better !== undefined;
  const ranked = [...others.filter(isJudged), ...others.filter((name) => !isJudged(name))];
  return [...key, ...ranked.slice(0, Math.max(0, leastShown - key.length))].map((name) => [name, last[name]!]);
}

function trainableOf(events: readonly ControlEvent[]): Shown['trainable'] {
  const now = currentTraining(events);
  if (!now) return null;
  const sizes = new Map(now.model.parameters.map(({ name, size }) => [name, size]));
  const sum = (names: Iterable<string>): number =>
    [...names].reduce((total, name) => total + (sizes.get(name) ?? 0), 0);
  return { selection: describeSelection(now.selection), parameters: sum(now.trainable), of: sum(sizes.keys()) };
}

function lines({ run, last, trainable, checkpoints, commands }: Shown): string[] {
  const { runId, description, parent, state, reason, trainer, trainerConnected, lastStep } = run;
  const facts: [string, string][] = [
    ['run', `${runId}  ${description.name}`],
    ['state', `${state} at step ${lastStep}${reason ? `: ${reason}` : ''}`],
    ...descriptionFacts(description),
  ];
  if (parent) facts.push(['from', `${parent.checkpointId} of ${parent.runId}, step ${parent.step}`]);
  if (trainer)
    facts.push([
      'trainer',
      `${trainer.backend} on ${trainer.device}, ${trainerConnected ? 'connected' : 'not connected'}`,
    ]);
  if (run.commands) facts.push(['takes', run.commands.join(', ') || 'no commands']);
  if (run.busy)
    facts.push(['busy', `${run.busy.why}, until ${new Date(run.busy.untilMs).toISOString()} at the latest`]);
  if (trainable) {
    const { selection, parameters, of } = trainable;
    facts.push(['trains', `${selection}: ${number(parameters)} of ${number(of)} parameters`]);
  }
  const values = shownOf(last).map(
    ([name, { value, unit, label }]) => `${seriesWord(name, { label })} ${valueWords(value, unit)}`,
  );
  if (values.length > 0) facts.push(['last values', values.join('  ')]);
  if (checkpoints.length > 0)
    facts.push([
      'checkpoints',
      checkpoints.map(({ checkpointId, isHere }) => checkpointId + (isHere ? '' : ' (elsewhere)')).join(', '),
    ]);
  const width = Math.max(...facts.map(([name]) => name.length));
  return [
    ...facts.map(([name, text]) => `${name.padEnd(width)}  ${visibleLine(text)}`),
    ...(commands.length > 0
      ? [`commands, the last ${Math.min(shownCommands, commands.length)} of ${commands.length}:`]
      : []),
    ...table(
      ['TIME', 'BY', 'WHAT CAME OF IT'],
      commands
        .slice(-shownCommands)
        .map((record) => [new Date(record.receivedMs).toISOString(), record.author, outcomeWords(record)]),
    ).slice(commands.length > 0 ? 0 : 1),
  ];
}

/** The settings that the trainer gave; missing ones are left out. */
function descriptionFacts({
  tags,
  notes,
  stages,
  tasks,
  totalSteps,
  settings,
}: RunSummary['description']): [string, string][] {
  const facts: [string, string][] = [];
  const targets =
    stages.length > 0
      ? stages.map(({ task }) => task)
      : tasks.filter(({ kind }) => kind === 'target').map(({ name }) => name);
  if (targets.length > 0)
    facts.push(['tasks', targets.map((name) => taskLabel({ tasks }, name)).join(stages.length > 0 ? ' → ' : ', ')]);
  if (totalSteps !== null) facts.push(['steps', number(totalSteps)]);
  if (tags.length > 0) facts.push(['tags', tags.join(', ')]);
  const entries = settingEntries(settings);
  if (entries.length > 0)
    facts.push(['settings', entries.map((entry) => `${settingName(entry)} ${settingValue(entry)}`).join('; ')]);
  if (notes !== '') facts.push(['notes', notes.replaceAll(/\s+/g, ' ')]);
  return facts;
}

const number = (value: number): string => value.toLocaleString('en-US');
