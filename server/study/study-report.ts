import type { Contents } from '../analysis/bootstrap.js';
import { studyClaims, type Claim, type ClaimVariants } from '../analysis/study-claims.js';
import type { StudyRun } from '../analysis/study-run.js';
import { figuresOf, type Figure } from './report-figures.js';
import { plain, table } from './report-markdown.js';
import { reportPage } from './report-page.js';
import { csvOf, jsonRow, rowsOf } from './report-rows.js';
import { interventionSection, paperSection, tableSection, taskSection } from './report-tables.js';
import type { Reportable } from './study-results.js';
import { plainVariant, type StudySpec } from './study-spec.js';

/** A study's findings as files by name: report.md, report.html, results.csv, results.json and the figures. */
export type StudyReport = Map<string, string>;

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
    ['results.csv', csvOf(rows)],
    ['results.json', JSON.stringify({ study: spec, claims, rows: rows.map(jsonRow) }, null, 1) + '\n'],
  ]);
  for (const { file, svg } of figures) report.set(file, svg);
  return report;
}

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

const figureSection = (figures: readonly Figure[]): string[] => [
  '## Figures',
  '',
  ...figures.flatMap(({ file, caption }) => [`![${caption}](${file})`, '', `*${caption}*`, '']),
];

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
  '- For each recipe the claims look at the first variant that trains it by plain fine-tuning and does nothing else, ' +
    'without rule or branch: ' +
    `SA Proj is ${saProj ?? 'not there'}, MLP Gate & Up ${mlpGateUp ?? 'not there'}, MLP ${mlp ?? 'not there'}.`,
  '',
];
