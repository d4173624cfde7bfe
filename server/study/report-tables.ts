import { formatEmissions, formatEnergy, formatEnergyRange } from '@plumbline/shared/energy-words';
import { metrics } from '@plumbline/shared/metric';
import { accuracyNoiseFloor, recovery } from '@plumbline/shared/recovery';
import { bootstrapDifferences, type Contents } from '../analysis/bootstrap.js';
import { seedInterval } from '../analysis/seed-interval.js';
import { accuraciesOf, finalMeasures, sequenceMeasureNames, type SequenceRun } from '../analysis/sequence-measures.js';
import { sequencesOf } from '../analysis/study-claims.js';
import { largestOf, lastOf, mean, type StudyRun } from '../analysis/study-run.js';
import { cell, plain, table } from './report-markdown.js';
import type { Row } from './report-rows.js';
import { plainVariant, type PlannedRun, type StudySpec } from './study-spec.js';

/* The sections of a report that are tables, as lines of Markdown. */

/** Headline of v2 of arXiv 2510.08564: percentage points, one 7B model averaged over its sequence. */
const paper = [
  { recipe: 'full', targetLearning: 31.8, heldOutForgetting: -23.3 },
  { recipe: 'sa_proj', targetLearning: 24.9, heldOutForgetting: -0.6 },
  { recipe: 'mlp_gate_up', targetLearning: 30.5, heldOutForgetting: -2.1 },
] as const;

/** What each variant learnt and forgot, how its outputs shifted, what came back, and what it cost. */
export function tableSection(
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
        name === variant
          ? plain(spec.variants[variant]!.says)
          : 'Between the base’s weights (0) and those trained (1).',
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
const digits = (value: number): string =>
  Number.isFinite(value) ? String(Number(value.toPrecision(2))).replace('-', '−') : '–';

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

/** Our numbers beside the paper’s, for the recipes that the study trains plainly; nothing where it trains none. */
export function paperSection(rows: readonly Row[], planned: readonly PlannedRun[]): string[] {
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
export function interventionSection(
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

/** Accuracy of each task at the end, and how many contents its questions are about. */
export function taskSection(rows: readonly Row[], contents: Contents): string[] {
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
