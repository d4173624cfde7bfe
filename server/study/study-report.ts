import { formatEmissions, formatEnergy, formatEnergyRange } from '@plumbline/shared/energy';
import { metrics } from '@plumbline/shared/metric';
import { accuracyNoiseFloor, recovery } from '@plumbline/shared/recovery';
import { bootstrapDifferences, bootstrapIntervals, type Contents, type Interval } from '../analysis/bootstrap.js';
import { seedInterval } from '../analysis/seed-interval.js';
import {
  accuraciesOf,
  finalMeasures,
  sequenceMeasureNames,
  type SequenceMeasureName,
  type SequenceRun,
} from '../analysis/sequence-measures.js';
import { sequencesOf, studyClaims, withInterval, type Claim, type ClaimVariants } from '../analysis/study-claims.js';
import { largestOf, lastOf, mean, type StudyRun } from '../analysis/study-run.js';
import { figuresOf, type Figure, type MeasuredRow } from './report-figures.js';
import { reportPage } from './report-page.js';
import type { Reportable } from './study-results.js';
import { plainVariant, type StudySpec } from './study-spec.js';

/** A study's findings as files by name: report.md, report.html, results.csv, results.json and the figures. */
export type StudyReport = Map<string, string>;

interface Row extends MeasuredRow {
  /** Against the reference, seed by seed and question by question; null for the reference itself. */
  difference: Record<SequenceMeasureName, Interval | null> | null;
}

/** Headline of v2 of arXiv 2510.08564: percentage points, one 7B model averaged over its sequence. */
const paper = [
  { recipe: 'full', targetLearning: 31.8, heldOutForgetting: -23.3 },
  { recipe: 'sa_proj', targetLearning: 24.9, heldOutForgetting: -0.6 },
  { recipe: 'mlp_gate_up', targetLearning: 30.5, heldOutForgetting: -2.1 },
] as const;

/**
 * Writes up a study. Pure: the same runs give the same files.
 * @param contents what the questions of its evaluations are about @param command what makes this report again
 */
export function studyReport(
  { spec, planned, results: runs }: Pick<Reportable, 'spec' | 'planned' | 'results'>,
  contents: Contents,
  command: string,
): StudyReport {
  const byVariant = new Map<string, StudyRun[]>();
  for (const name of Object.keys(spec.variants))
    byVariant.set(
      name,
      runs.filter(({ variant }) => variant === name),
    );
  const rows = rowsOf(spec, byVariant, contents);
  const variants: ClaimVariants = {
    reference: spec.reference,
    saProj: plainVariant(planned, 'sa_proj'),
    mlpGateUp: plainVariant(planned, 'mlp_gate_up'),
    mlp: plainVariant(planned, 'mlp'),
  };
  const claims = studyClaims(byVariant, variants, contents);
  const figures = figuresOf(spec, byVariant, rows, contents);
  const markdown = [
    ...head(spec, runs, command),
    ...claimSection(claims),
    ...tableSection(spec, rows, byVariant),
    ...paperSection(rows, planned),
    ...interventionSection(spec, byVariant, contents),
    ...figureSection(figures),
    ...taskSection(rows, contents),
    ...methodSection(variants),
  ].join('\n');
  const report: StudyReport = new Map([
    ['report.md', markdown],
    ['report.html', reportPage(plain(spec.title || spec.name), markdown, figures)],
    ['results.csv', csv(rows)],
    ['results.json', JSON.stringify({ study: spec, claims, rows: rows.map(jsonRow) }, null, 1) + '\n'],
  ]);
  for (const { file, svg } of figures) report.set(file, svg);
  return report;
}

function rowsOf(spec: StudySpec, byVariant: ReadonlyMap<string, readonly StudyRun[]>, contents: Contents): Row[] {
  const reference = sequencesOf(byVariant.get(spec.reference)!);
  return [...byVariant].flatMap(([variant, runs]) => {
    const weights = [...new Set(runs.flatMap(({ evaluations }) => evaluations.map(({ weight }) => weight)))];
    return weights
      .sort((a, b) => (a ?? 2) - (b ?? 2))
      .map((weight): Row => {
        const sequences = sequencesOf(runs, weight);
        return {
          name: weight === null ? variant : `${variant} at ${weight}`,
          variant,
          sequences,
          measures: bootstrapIntervals(sequences, finalMeasures, { contents }),
          difference:
            variant === spec.reference ? null : bootstrapDifferences(sequences, reference, finalMeasures, { contents }),
        };
      });
  });
}

const cell = (interval: Interval | null): string => (interval ? withInterval(interval) : '–');
/** Somebody's words, so that they are neither markup nor the end of a table's cell. */
const plain = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('|', '&#124;');

/** Numbers stand at the right, words at the left. */
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  `| ${head.join(' | ')} |`,
  `| ${head.map((_, column) => (rows.every((row) => /^[+−\d–]/.test(row[column]!)) ? '---:' : '---')).join(' | ')} |`,
  ...rows.map((row) => `| ${row.join(' | ')} |`),
  '',
];

function head(spec: StudySpec, runs: readonly StudyRun[], command: string): string[] {
  const [first] = runs;
  const questions = Object.values(first!.evaluations[0]!.right)[0]!.length;
  const steps = [...new Set(runs.map(({ stepsPerStage }) => stepsPerStage))].sort((a, b) => a - b);
  return [
    `# ${plain(spec.title || spec.name)}`,
    '',
    `${first!.tasks.join(' → ')}, ${steps.join(' or ')} steps each; ${Object.keys(spec.variants).length} variants, seeds ` +
      `${spec.seeds.join(', ')}; ${questions} questions a task, ${first!.heldOut.length} held-out tasks. Made by \`${command}\`.`,
    '',
  ];
}

function claimSection(claims: readonly Claim[]): string[] {
  return [
    '## What the paper says, and what happened here',
    '',
    ...table(
      ['claim of arXiv 2510.08564', 'here'],
      claims.map(({ id, says, verdict }) => [`(${id}) ${says}`, `**${verdict}**`]),
    ),
    ...claims.flatMap(({ id, evidence }) => evidence.map((sentence) => `- (${id}) ${sentence}`)),
    '',
  ];
}

function tableSection(
  spec: StudySpec,
  rows: readonly Row[],
  byVariant: ReadonlyMap<string, readonly StudyRun[]>,
): string[] {
  return [
    '## What each variant learnt and forgot',
    '',
    'Percentage points against the base model, at the end of the sequence, mean over seeds, with 95 % intervals.',
    '',
    ...table(
      ['variant', 'what it is', 'target learning', 'target forgetting', 'target overall', 'held-out'],
      rows.map(({ name, variant, measures }) => [
        name,
        name === variant ? plain(spec.variants[variant]!.says) : '',
        ...sequenceMeasureNames.map((measure) => cell(measures[measure])),
      ]),
    ),
    `Against \`${spec.reference}\`, in pairs of the same seeds and questions:`,
    '',
    ...table(
      ['variant', 'target learning', 'target overall', 'held-out'],
      rows.flatMap(({ name, difference }) =>
        difference
          ? [
              [
                name,
                cell(difference.targetLearning),
                cell(difference.targetOverall),
                cell(difference.heldOutForgetting),
              ],
            ]
          : [],
      ),
    ),
    'Shift of the output distribution on held-out prompts at the end of the sequence, with 95 % intervals over seeds:',
    '',
    ...table(
      [
        'variant',
        'number-token bias, worst',
        'end',
        'on counting prompts, end',
        'KL(base ‖ now)',
        'JS',
        'entropy',
        'top-1 agreement',
      ],
      [...byVariant].map(([name, runs]) => [
        name,
        overSeeds(runs.map((run) => largestOf(run, metrics.numberTokensHeldOut))),
        ...[
          metrics.numberTokensHeldOut,
          metrics.numberTokensTarget,
          metrics.kl,
          metrics.js,
          metrics.entropy,
          metrics.top1Agreement,
        ].map((metric) => overSeeds(runs.map((run) => lastOf(run, metric)))),
      ]),
    ),
    'How much of its worst drop each variant’s held-out accuracy had recovered at the end, in percent (– while no seed had',
    'dropped past the noise floor of its probes):',
    '',
    ...table(
      ['variant', 'worst drop, points', 'noise floor, points', 'recovered'],
      [...byVariant].map(([name, runs]) => [name, ...recoveryCells(runs)]),
    ),
    'Cost, mean over seeds; runs shared the machine, so times and energy compare only roughly:',
    '',
    ...table(
      ['variant', 'trained', 'optimizer', 'a step', 'energy (range)', 'emissions'],
      [...byVariant].map(([name, runs]) => [name, ...costCells(runs)]),
    ),
  ];
}

/** Two digits that count, never as a power of ten; – for what was not measured. */
const digits = (value: number): string => (Number.isFinite(value) ? String(Number(value.toPrecision(2))) : '–');

/** Mean over seeds with Student's interval, to two digits; the mean alone for one seed. */
function overSeeds(values: readonly number[]): string {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return '–';
  const interval = seedInterval(finite);
  return interval
    ? `${digits(interval.estimate)} [${digits(interval.low)}, ${digits(interval.high)}]`
    : digits(finite[0]!);
}

function recoveryCells(runs: readonly StudyRun[]): string[] {
  const found = runs.flatMap((run) => {
    const base = run.baseline[metrics.heldOutMean];
    const questions = run.baseline[metrics.questionsPerTask];
    if (base === undefined || questions === undefined) return [];
    const noiseFloor = accuracyNoiseFloor(base, questions * run.heldOut.length);
    const back = recovery(run.series[metrics.heldOutMean]?.values ?? [], base, 'lower', noiseFloor);
    return [{ noiseFloor, drop: back ? back.worst - base : NaN, percent: back ? back.percent : NaN }];
  });
  return [
    overSeeds(found.map(({ drop }) => drop)),
    found.length === 0 ? '–' : mean(found.map(({ noiseFloor }) => noiseFloor)).toFixed(1),
    overSeeds(found.map(({ percent }) => percent)),
  ];
}

function costCells(runs: readonly StudyRun[]): string[] {
  const of = (metric: string): number => mean(runs.map((run) => lastOf(run, metric)));
  const stepMs = mean(runs.map((run) => median(Array.from(run.series[metrics.stepDurationMs]?.values ?? []))));
  const [joules, low, high] = [of(metrics.energyJoules), of(metrics.energyJoulesLow), of(metrics.energyJoulesHigh)];
  const range = Number.isFinite(low + high) ? ` (${formatEnergyRange(joules, low, high)})` : '';
  const grams = of(metrics.co2Grams);
  return [
    Number.isNaN(of(metrics.trainableParameters))
      ? '–'
      : Math.round(of(metrics.trainableParameters)).toLocaleString('en-US'),
    `${(mean(runs.map((run) => largestOf(run, metrics.optimizerBytes))) / 1e6).toFixed(1)} MB`,
    Number.isNaN(stepMs) ? '–' : `${stepMs.toFixed(0)} ms`,
    Number.isFinite(joules) ? formatEnergy(joules) + range : '–',
    Number.isFinite(grams) ? formatEmissions(grams) : '–',
  ];
}

function median(values: readonly number[]): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

function paperSection(rows: readonly Row[], planned: Reportable['planned']): string[] {
  const known = paper.flatMap((theirs) => {
    const variant = plainVariant(planned, theirs.recipe);
    const row = rows.find(({ name }) => name === variant);
    return row ? [{ theirs, row }] : [];
  });
  if (known.length === 0) return [];
  return [
    '## Beside the paper’s table',
    '',
    'Theirs: one 7B model, five real data sets. Ours: the built-in model and small analogues. Signs and order can be compared, sizes cannot.',
    '',
    ...table(
      ['tuned', 'target learning, theirs', 'ours', 'held-out, theirs', 'ours'],
      known.map(({ theirs, row: { name, measures } }) => [
        name === theirs.recipe ? name : `${theirs.recipe} (${name})`,
        `+${theirs.targetLearning}`,
        cell(measures.targetLearning),
        `−${-theirs.heldOutForgetting}`,
        cell(measures.heldOutForgetting),
      ]),
    ),
  ];
}

/** What each intervention saved and cost, against the run that it left or that had none. */
function interventionSection(
  spec: StudySpec,
  byVariant: ReadonlyMap<string, readonly StudyRun[]>,
  contents: Contents,
): string[] {
  const intervened = [...byVariant].filter(([, runs]) => runs.some(({ interventions }) => interventions.length > 0));
  if (intervened.length === 0) return [];
  const lines = [
    '## Interventions',
    '',
    'Against the same run without it, in pairs of the same seeds and questions.',
    '',
  ];
  lines.push(
    ...table(
      ['variant', 'against', 'held-out saved', 'target learning', 'target overall'],
      intervened.map(([name, runs]) => {
        const against = spec.variants[name]!.from?.variant ?? spec.reference;
        const [own, other] = [sequencesOf(runs), sequencesOf(byVariant.get(against)!)];
        const difference = bootstrapDifferences(own, other, finalMeasures, { contents });
        return [
          name,
          against,
          cell(difference.heldOutForgetting),
          cell(difference.targetLearning),
          cell(difference.targetOverall),
        ];
      }),
    ),
  );
  for (const [name, runs] of intervened)
    for (const { seed, interventions } of runs)
      for (const { step, author, what } of interventions)
        lines.push(`- ${name}, seed ${seed}: step ${step}, ${plain(author)}: ${plain(what)}`);
  return [...lines, ''];
}

const figureSection = (figures: readonly Figure[]): string[] => [
  '## Figures',
  '',
  ...figures.flatMap(({ file, caption }) => [`![${caption}](${file})`, '', `*${caption}*`, '']),
];

function taskSection(rows: readonly Row[], contents: Contents): string[] {
  const [first] = rows;
  const { stages, heldOut, base } = first!.sequences[0]!;
  const percent = (sequences: readonly SequenceRun[], read: (run: ReturnType<typeof accuraciesOf>) => number): string =>
    mean(sequences.map((run) => read(accuraciesOf(run)))).toFixed(1);
  return [
    '## Accuracy of each task at the end, in percent',
    '',
    'Contents: how many different things the questions are about, such as words read or dials shown.',
    '',
    ...table(
      ['task', 'contents', 'base', ...rows.map(({ name }) => name)],
      [...new Set(stages), ...heldOut].map((task) => [
        heldOut.includes(task) ? task : `**${task}**`,
        String(contents[task] ? new Set(contents[task]).size : base[task]!.length),
        percent(first!.sequences, ({ base }) => base[task]!),
        ...rows.map(({ sequences }) => percent(sequences, ({ afterStage }) => afterStage.at(-1)![task]!)),
      ]),
    ),
  ];
}

const methodSection = ({ saProj, mlpGateUp, mlp }: ClaimVariants): string[] => [
  '## How to read it',
  '',
  '- Intervals of accuracies are bootstrap percentiles over seeds and questions drawn together (over questions alone where ' +
    'there is one seed); with few seeds they are rough. Questions of a task with the same content, in other pictures, are ' +
    'no two independent ones: contents are drawn, each with all its questions (cluster bootstrap, Davison & Hinkley 1997, ' +
    'section 3.8).',
  '- Every run answers the same evaluation questions, which share no content with training.',
  '- Target learning is measured right after each skill’s stage; target forgetting from there to the end of the sequence; ' +
    'held-out is the mean over tasks that no stage trains. Negative is worse.',
  '- The rules by which a claim holds or not are fixed in `server/analysis/study-claims.ts`. What a claim wants to be above 0 ' +
    'or below speaks for it where its 95 % intervals lie wholly on that side. (a) and (c) rest on answers, and on two ' +
    'intervals of each number, which must agree: the bootstrap’s, which is shown, and Student’s over the seeds alone. (b) and ' +
    '(d) rest on probes, and on the one interval that is shown: of (b) a bootstrap over seeds and stages, of (d) Student’s ' +
    'over the seeds. A probe keeps the mean over its prompts, so neither says what other prompts would have shown. With one ' +
    'seed nothing is decided.',
  '- For each recipe the claims look at the ' +
    'first variant that trains it by plain fine-tuning and does nothing else, without rule or branch: ' +
    `SA Proj is ${saProj ?? 'not there'}, MLP Gate & Up ${mlpGateUp ?? 'not there'}, MLP ${mlp ?? 'not there'}.`,
  '',
];

function csv(rows: readonly Row[]): string {
  const lines = ['row,variant,seed,stage,task,kind,questions,accuracy_percent'];
  for (const { name, variant, sequences } of rows)
    for (const run of sequences) {
      const { base, afterStage, heldOut } = accuraciesOf(run);
      [base, ...afterStage].forEach((accuracies, index) => {
        for (const [task, accuracy] of Object.entries(accuracies))
          lines.push(
            [
              ...[name, variant, run.seed, index === 0 ? 'base' : index - 1, task],
              ...[heldOut.includes(task) ? 'held_out' : 'target', run.base[task]!.length, accuracy],
            ].join(','),
          );
      });
    }
  return lines.join('\n') + '\n';
}

const jsonRow = ({ name, variant, measures, difference }: Row): object => ({ name, variant, measures, difference });
