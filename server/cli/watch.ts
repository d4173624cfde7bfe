import { Option, type Command } from 'commander';
import type { CommandRecord } from '@plumbline/shared/command';
import { describeSelection } from '@plumbline/shared/selection';
import { changeableKeys } from '@plumbline/shared/run-description';
import type { RunSummary } from '@plumbline/shared/run';
import { declaredIn } from '@plumbline/shared/series-facts';
import type { SeriesDeclaration } from '@plumbline/shared/series';
import { isLastWord } from '@plumbline/shared/trainer-event';
import type { HubApi } from '../hub-api.js';
import { exitCodes } from './exit-codes.js';
import { followRun, type RunLine } from './follow-run.js';
import { changeWords } from './give-command.js';
import { findRun, hubOf, withHubOptions, type HubFlags } from './hub.js';
import { seriesWord, valueWords } from './key-metrics.js';
import { visibleLine } from '@plumbline/shared/plain-text';
import { wholeNumber } from './whole-number.js';
import { sayError } from '../terminal.js';

interface Flags extends HubFlags {
  from?: number;
  metric?: string[];
  json?: true;
}

/** Past steps that are printed first. */
const stepsBefore = 10;

/** `plumbline watch RUN`: prints the events of a run, line by line, until it ends. */
export function addWatchCommand(program: Command, say: (line: string) => void): void {
  withHubOptions(
    program
      .command('watch')
      .description('follow a run until it ends: key and headline series of each step, and its events; Ctrl-C leaves')
      .argument('<run>', 'id of the run, or the beginning of it')
      .option('--from <step>', `begin at this step, 0 for all (the last ${stepsBefore})`, wholeNumber(0))
      .addOption(
        new Option(
          '--metric <names>',
          'these series, with commas between, instead of the key and headline series',
        ).argParser((text: string) => text.split(',').map((name) => name.trim())),
      ),
  )
    .addHelpText(
      'after',
      '\n--json prints a JSON value a line: {"type":"metrics",...} for values, else the event as /api/runs/RUN/events has it.' +
        '\nExit code 1 when the run has failed; 0 when it has finished or was stopped, or at Ctrl-C.',
    )
    .action(async (text: string, flags: Flags) => {
      const hub = hubOf(flags);
      const run = await findRun(hub, text);
      await watch(hub, run, flags, say);
    });
}

async function watch(hub: HubApi, run: RunSummary, flags: Flags, say: (line: string) => void): Promise<void> {
  const left = new AbortController();
  const leave = (): void => left.abort();
  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
  // The output was closed: `| head`, a closed terminal.
  process.stdout.once('error', leave);
  const lines = followRun(hub, run.runId, {
    fromStep: flags.from ?? Math.max(0, run.lastStep - stepsBefore),
    ...(flags.metric && { metrics: flags.metric }),
    signal: left.signal,
    onAway: ({ message }) => sayError(`${message} Trying again ...`),
  });
  const commands = new CommandNames(hub, run);
  const declared: Declared = declaredIn((await hub.controlEvents(run.runId)).events);
  let isEndTold = false;
  for (;;) {
    const next = await lines.next();
    if (left.signal.aborted) break;
    if (next.done) {
      // The hub ended the run: its trainer sent no last word.
      if (next.value && !isEndTold) sayEnd(next.value, flags, say);
      if (next.value?.state === 'failed') process.exitCode = exitCodes.failed;
      break;
    }
    const line = next.value;
    isEndTold ||= line.type !== 'metrics' && isLastWord(line);
    if (line.type === 'run_started' || line.type === 'series_declared')
      for (const [name, declaration] of declaredIn([line])) declared.set(name, declaration);
    say(flags.json ? JSON.stringify(line) : await lineWords(line, commands, declared));
    // The error of a closed pipe arrives after the write.
    await new Promise((resolve) => setImmediate(resolve));
  }
  process.off('SIGINT', leave);
  process.off('SIGTERM', leave);
}

function sayEnd({ state, reason, lastStep: step }: RunSummary, { json }: Flags, say: (line: string) => void): void {
  say(json ? JSON.stringify({ type: `run_${state}`, seq: null, step, reason }) : atStep(step, `${state}: ${reason}`));
}

/** Declarations of series by name. */
type Declared = Map<string, SeriesDeclaration>;

const atStep = (step: number, words: string): string => `step ${String(step).padStart(6)}  ${visibleLine(words)}`;

async function lineWords(line: RunLine, commands: CommandNames, declared: Declared): Promise<string> {
  return atStep(
    line.step,
    line.type === 'metrics' ? metricWords(line.metrics, declared) : await eventWords(line, commands),
  );
}

const metricWords = (metrics: Extract<RunLine, { type: 'metrics' }>['metrics'], declared: Declared): string =>
  Object.entries(metrics)
    .map(([name, value]) => `${seriesWord(name, declared.get(name))} ${valueWords(value, declared.get(name)?.unit)}`)
    .join('  ');

async function eventWords(event: Exclude<RunLine, { type: 'metrics' }>, commands: CommandNames): Promise<string> {
  switch (event.type) {
    case 'run_started':
      return `started: trains ${describeSelection(event.selection)}, ${event.trainer.backend} on ${event.trainer.device}`;
    case 'series_declared':
      return `declares ${event.series.length} series: ${event.series
        .slice(0, 3)
        .map(({ name }) => name)
        .join(', ')}${event.series.length > 3 ? ', …' : ''}`;
    case 'stage_started':
      return `stage ${event.stage + 1}: ${event.task}${event.steps === null ? '' : `, ${event.steps} steps`}`;
    case 'run_described':
      return `described anew: ${changeableKeys.filter((key) => key in event).join(', ')}`;
    case 'evaluation_completed':
      return `evaluated ${Object.keys(event.right).length} tasks`;
    case 'segment_started':
      return `goes on from ${event.checkpointId ?? `step ${event.fromStep}`} as another segment`;
    case 'trainable_changed':
      return `trains ${describeSelection(event.selection)}, ${event.trainable.length} ${event.trainable.length === 1 ? 'tensor' : 'tensors'}`;
    case 'checkpoint_saved':
    case 'checkpoint_removed':
      return `${event.type.replace('_', ' ')}: ${event.checkpointId}`;
    case 'command_applied':
      return `${await commands.nameOf(event.commandId)} applied: ${changeWords(event)}`;
    case 'command_failed':
      return `${await commands.nameOf(event.commandId)} failed: ${event.reason}`;
    case 'run_paused':
    case 'run_stopped':
    case 'run_failed':
      return event.type.replace('run_', '') + (event.reason ? `: ${event.reason}` : '');
    case 'run_resumed':
    case 'run_finished':
      return event.type.replace('run_', '');
  }
}

/** Actions and authors of commands, which the events of their ends do not contain. */
class CommandNames {
  readonly #names = new Map<string, string>();
  constructor(
    readonly hub: HubApi,
    readonly run: RunSummary,
  ) {}

  async nameOf(commandId: CommandRecord['commandId']): Promise<string> {
    if (!this.#names.has(commandId)) {
      // The hub is away: the line is printed without them.
      const records = await this.hub.commands(this.run.runId).catch((): CommandRecord[] => []);
      for (const { commandId: id, action, author } of records)
        this.#names.set(id, `${action.kind.replaceAll('_', ' ')} by ${author}`);
    }
    return this.#names.get(commandId) ?? 'command';
  }
}
