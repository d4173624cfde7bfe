import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { fromWireNumber, toWireNumber, WireNumber } from '@plumbline/shared/metric';
import type { StudyRun } from '../analysis/study-run.js';
import type { PlannedRun, StudySpec } from './study-spec.js';

/* A study's results as they are kept in a file, so that its report can be written again without a hub. */

/** Which questions the runs of a study were asked, so that a report can tell them from others of the same number. */
const AskedQuestions = z.object({
  evaluationSeed: z.number(),
  /** Of each task, a digest of what its questions are about (`contentDigest`). */
  contents: z.record(z.string(), z.string()),
});
export type AskedQuestions = z.infer<typeof AskedQuestions>;

export interface StudyResults {
  /** As the version that collected the results draws them; null where it did not say. */
  asked: AskedQuestions | null;
  runs: StudyRun[];
}

const Values = z.array(WireNumber.transform(fromWireNumber));
const StoredRuns = z.array(
  z.object({
    variant: z.string(),
    seed: z.number(),
    runId: z.string(),
    tasks: z.array(z.string()),
    stepsPerStage: z.number(),
    heldOut: z.array(z.string()),
    evaluations: z.array(
      z.object({
        stage: z.number().nullable(),
        weight: z.number().nullable(),
        right: z.record(z.string(), z.string()),
      }),
    ),
    series: z.record(z.string(), z.object({ steps: z.array(z.number()), values: Values })),
    baseline: z.record(z.string(), WireNumber.transform(fromWireNumber)),
    interventions: z.array(z.object({ step: z.number(), author: z.string(), what: z.string() })),
  }) satisfies z.ZodType<StudyRun>,
);
const StoredResults = z.preprocess(
  // Results were once a list of runs alone.
  (stored) => (Array.isArray(stored) ? { asked: null, runs: stored as unknown } : stored),
  z.object({ asked: AskedQuestions.nullable(), runs: StoredRuns }),
);

/** Numbers that are not finite, as of a run that diverged, are kept as on the wire. */
export async function writeResults(path: string, results: StudyResults): Promise<void> {
  const content = JSON.stringify(results, (_key, value: unknown) =>
    typeof value === 'number' ? toWireNumber(value) : value,
  );
  await writeFile(path, content);
}

/** @throws Error when there is no such file, or it holds something else, saying what to do */
export async function readResults(path: string): Promise<StudyResults> {
  const again = 'Run the study without --report-only first.';
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      error.code === 'ENOENT' ? `There are no results in ${path}. ${again}` : `${path}: ${error.message}`,
    );
  });
  try {
    return StoredResults.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new Error(`${path} does not hold a study's results. ${again}\n${why.slice(0, 500)}`, { cause: error });
  }
}

/** What a report can be written about. */
export interface Reportable {
  /** The study's variants of which all seeds are there. */
  spec: StudySpec;
  /** Their runs as they were planned, and what came of them, in the same order. */
  planned: PlannedRun[];
  results: StudyRun[];
  /** Planned runs without results. */
  missing: PlannedRun[];
}

/**
 * Leaves out the variants that are not complete: measures are means over the same seeds.
 * @param drawn the questions that the study asks, as they are drawn now
 * @throws Error when the results are known to be of others, whose contents could not be told
 */
export function reportable(
  spec: StudySpec,
  planned: readonly PlannedRun[],
  { asked, runs }: StudyResults,
  drawn: AskedQuestions,
): Reportable {
  const resultOf = ({ variant, seed }: PlannedRun): StudyRun | undefined =>
    runs.find((run) => run.variant === variant && run.seed === seed);
  for (const { config, ...run } of planned)
    for (const { right } of resultOf({ config, ...run })?.evaluations ?? [])
      for (const [task, { length }] of Object.entries(right))
        if (length !== config.evaluationQuestions)
          throw new Error(
            `The results of ${config.name} are of ${length} questions of ${task}, the study plans ` +
              `${config.evaluationQuestions}. Set its evaluationQuestions and evaluationSeed to what they were.`,
          );
  if (asked) refuseOthers(asked, drawn);
  const missing = planned.filter((run) => !resultOf(run));
  const isComplete = (variant: string): boolean => missing.every((run) => run.variant !== variant);
  // A branch is compared with what it branched from.
  const kept = Object.entries(spec.variants).filter(
    ([name, { from }]) => isComplete(name) && (!from || isComplete(from.variant)),
  );
  const variants = Object.fromEntries(kept);
  const complete = planned.filter(({ variant }) => variant in variants);
  return {
    ...{ spec: { ...spec, variants }, planned: complete, missing },
    results: complete.map((run) => resultOf(run)!),
  };
}

/** @throws Error when what was asked is not what is drawn now */
function refuseOthers(asked: AskedQuestions, drawn: AskedQuestions): void {
  if (asked.evaluationSeed !== drawn.evaluationSeed)
    throw new Error(
      `The results are of questions drawn with evaluationSeed ${asked.evaluationSeed}, the study draws them with ` +
        `${drawn.evaluationSeed}. Set its evaluationSeed to ${asked.evaluationSeed}.`,
    );
  const changed = Object.keys(asked.contents).filter((task) => asked.contents[task] !== drawn.contents[task]);
  if (changed.length > 0)
    throw new Error(
      `The results are of other questions of ${changed.join(', ')} than are drawn now: the tasks have changed since. ` +
        'Write the report with the version of Plumbline that made the results, or run the study again under another name.',
    );
}
