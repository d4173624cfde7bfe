import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { SingleBar, type Params } from 'cli-progress';
import type { Command } from 'commander';
import { visibleLine } from '@plumbline/shared/plain-text';
import { Sessions } from '../access/sessions.js';
import type { Contents } from '../analysis/bootstrap.js';
import type { StudyRun } from '../analysis/study-run.js';
import { readConfig, type HubConfig } from '../config.js';
import { hubUrl } from '../hub-address.js';
import { stopOnSignal } from './stop-on-signal.js';
import { collectRun } from '../study/collect-run.js';
import { HubSession } from '../hub-api.js';
import { studyReport } from '../study/study-report.js';
import { readResults, reportable, writeResults, type AskedQuestions } from '../study/study-results.js';
import { StudyRunner, type StudyProgress } from '../study/study-runner.js';
import { readStudy, type PlannedRun, type StudySpec } from '../study/study-spec.js';
import { wholeNumber } from './whole-number.js';

interface Flags {
  out?: string;
  jobs: number;
  dataDir?: string;
  reportOnly?: true;
  json?: true;
}
type Say = (line: string) => void;

/** `plumbline study FILE`: teaches a sequence of skills in several ways, and reports what each learnt and forgot. */
export function addStudyCommand(program: Command, say: Say): void {
  program
    .command('study')
    .description(
      'teach a sequence of skills in several ways with several seeds, and write a report; resumes when interrupted',
    )
    .argument('<file>', 'what to run, in YAML or JSON')
    .option('--out <folder>', 'folder for the report (study-NAME)')
    .option('--jobs <number>', 'concurrent runs', wholeNumber(1), 1)
    .option('--data-dir <folder>', 'data folder of the hub (PLUMBLINE_DATA_DIR, .plumbline)')
    .option('--report-only', 'write the report again from the results in the folder, without a hub')
    .option('--json', 'print one line of results last, for programs')
    .action((file: string, flags: Flags) => studyAction(file, flags, say));
}

async function studyAction(file: string, flags: Flags, say: Say): Promise<void> {
  const startMs = Date.now();
  const { spec, runs } = readStudy(file);
  const out = flags.out ?? `study-${spec.name}`;
  const resultsPath = join(out, 'runs.json');
  await mkdir(out, { recursive: true });
  const problems = flags.reportOnly ? new Map<string, string>() : await makeRuns(spec, runs, resultsPath, flags, say);
  const stored = await readResults(resultsPath);
  const { contents, asked } = await drawnQuestions(runs);
  const complete = reportable(spec, runs, stored, asked);
  const { results, missing } = complete;
  const isWritten = spec.reference in complete.spec.variants;
  if (isWritten) {
    if (!stored.asked)
      say(
        `${resultsPath} does not say which questions were asked: the report takes them for the ones drawn now from ` +
          `evaluationSeed ${asked.evaluationSeed}.`,
      );
    const report = studyReport(complete, contents, commandLine(file, flags));
    for (const [name, content] of report) await writeFile(join(out, name), content);
    if (flags.json) say(resultLine(spec.name, startMs, results.length, report.get('results.json')!));
    else say(`The report is ${join(out, 'report.md')} and report.html beside it.`);
  }
  if (missing.length > 0)
    throw new Error(
      `${missing.length} of ${runs.length} runs are missing, ` +
        (isWritten
          ? 'and their variants in the report:\n'
          : `and there is no report without all of ${spec.reference}, the reference:\n`) +
        missing
          .map(({ config: { name } }) => `  ${name}: ${problems.get(name) ?? `no results in ${resultsPath}`}`)
          .join('\n'),
    );
}

/** Completes the study's runs and stores their results. @returns the reasons of failed runs, by planned name */
async function makeRuns(
  spec: StudySpec,
  runs: readonly PlannedRun[],
  resultsPath: string,
  flags: Flags,
  say: Say,
): Promise<Map<string, string>> {
  const config = readConfig({ PLUMBLINE_DATA_DIR: flags.dataDir, PLUMBLINE_LOG_LEVEL: 'warn' });
  const { session, isOwn, close } = await openHub(config, say);
  const bar = progressBar(say);
  stopOnSignal({
    words: isOwn
      ? 'Stopping: trainers save a checkpoint (again to leave at once). The same command goes on where it was.'
      : 'Stopping: the runs under way go on at their hub. The same command goes on where the study was.',
    close: () => {
      bar.stop();
      return close();
    },
    say: bar.note,
    isUnfinished: true,
  });
  try {
    const runner = new StudyRunner(session, spec.name, runs, {
      jobs: flags.jobs,
      onProgress: bar.update,
      onNote: bar.note,
    });
    const { finished, problems } = await runner.run().finally(bar.stop);
    const results: StudyRun[] = [];
    for (const planned of runs) {
      const runId = finished.get(planned.config.name);
      if (runId) results.push(await collectRun(session, planned, runId));
    }
    await writeResults(resultsPath, { asked: (await drawnQuestions(runs)).asked, runs: results });
    return problems;
  } finally {
    await close();
  }
}

/** The contents of the study's questions, which all of its runs share. */
async function drawnQuestions([first]: readonly PlannedRun[]): Promise<{ contents: Contents; asked: AskedQuestions }> {
  // Loaded lazily: drawing questions needs their pictures, which no other command needs.
  const { askedQuestions, questionContents } = await import('../study/question-contents.js');
  const contents = questionContents(first!.config);
  return { contents, asked: askedQuestions(first!.config, contents) };
}

function resultLine(study: string, startMs: number, runs: number, resultsJson: string): string {
  const { claims, rows } = JSON.parse(resultsJson) as { claims: { id: string; verdict: string }[]; rows: object[] };
  const verdicts = Object.fromEntries(claims.map(({ id, verdict }) => [id, verdict]));
  const minutes = Number(((Date.now() - startMs) / 60_000).toFixed(1));
  return JSON.stringify({ study, minutes, runs, verdicts, rows });
}

/** The command that writes the report again. */
function commandLine(file: string, { out, jobs }: Flags): string {
  const words = [
    relative('.', file),
    ...(out === undefined ? [] : ['--out', relative('.', out)]),
    ...(jobs === 1 ? [] : ['--jobs', String(jobs)]),
  ];
  return `npm run plumbline -- study ${words.map((word) => (/\s/.test(word) ? JSON.stringify(word) : word)).join(' ')}`;
}

interface StudyHub {
  session: HubSession;
  isOwn: boolean;
  /** Closes the study's own hub, once; never another one. */
  close: () => Promise<void>;
}

/** The running hub of the data folder, or a new one for the duration of the study. */
async function openHub(config: HubConfig, say: Say): Promise<StudyHub> {
  const running = hubUrl(config.dataDir);
  // Loaded lazily: other commands need no hub.
  const hub = running === null ? await (await import('../main.js')).startHub(config) : null;
  const url = running ?? hub!.url;
  const sessions = new Sessions(config.accessDir ?? config.dataDir);
  say(`Runs can be watched and steered at ${url}/?token=${sessions.createLink()}`);
  const session = await HubSession.open({ url, token: sessions.createLink() });
  let closing: Promise<void> | undefined;
  return { session, isOwn: hub !== null, close: () => (closing ??= hub?.close() ?? Promise.resolve()) };
}

/** Progress: a bar with the remaining time at a terminal, else a line now and then. Silent once stopped. */
function progressBar(say: Say): { update: (progress: StudyProgress) => void; note: Say; stop: () => void } {
  const startMs = Date.now();
  let first: number | undefined;
  let saidMs = 0;
  let isStopped = false;
  const leftWords = ({ stepsDone, steps }: StudyProgress): string => {
    first ??= stepsDone;
    const pace = (stepsDone - first) / (Date.now() - startMs);
    return pace > 0 ? `${Math.ceil((steps - stepsDone) / pace / 60_000)} min left` : '';
  };
  const words = (progress: StudyProgress): string =>
    [
      `${progress.done} of ${progress.runs} runs`,
      ...progress.current.map(({ name, step, steps }) => `${name} ${step}/${steps}`),
      leftWords(progress),
    ]
      .filter(Boolean)
      .join(', ');
  if (!process.stdout.isTTY)
    return {
      update: (progress) => {
        if (isStopped || (Date.now() - saidMs < 30_000 && progress.done < progress.runs)) return;
        saidMs = Date.now();
        say(words(progress));
      },
      note: (note) => {
        if (!isStopped) say(note);
      },
      stop: () => {
        isStopped = true;
      },
    };
  const bar = new SingleBar({
    format: (_options, params: Params, payload: { words: string }) => {
      const filled = Math.round(params.progress * 24);
      return `[${'█'.repeat(filled)}${'░'.repeat(24 - filled)}] ${payload.words}`;
    },
    hideCursor: true,
  });
  bar.start(1, 0, { words: 'starting' });
  return {
    update: (progress) => {
      if (isStopped) return;
      bar.setTotal(progress.steps);
      bar.update(progress.stepsDone, { words: visibleLine(words(progress)) });
    },
    note: (note) => {
      // Above the bar, which is drawn anew below it.
      if (!isStopped) process.stdout.write(`\r\x1b[K${visibleLine(note)}\n`);
    },
    stop: () => {
      isStopped = true;
      bar.stop();
    },
  };
}
