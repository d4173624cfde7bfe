import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { fromWireNumber, toWireNumber, WireNumber } from '@plumbline/shared/metric';
import type { StudyRun } from '../analysis/study-run.js';
import type { PlannedRun, StudySpec } from './study-spec.js';

/* A study's runs as they are kept in a file, so that its report can be written again without a hub. */

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

/** Numbers that are not finite, as of a run that diverged, are kept as on the wire. */
export async function writeResults(path: string, runs: readonly StudyRun[]): Promise<void> {
  const content = JSON.stringify(runs, (_key, value: unknown) =>
    typeof value === 'number' ? toWireNumber(value) : value,
  );
  await writeFile(path, content);
}

/** @throws Error when there is no such file, or it holds something else, saying what to do */
export async function readResults(path: string): Promise<StudyRun[]> {
  const again = 'Run the study without --report-only first.';
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      error.code === 'ENOENT' ? `There are no results in ${path}. ${again}` : `${path}: ${error.message}`,
    );
  });
  try {
    return StoredRuns.parse(JSON.parse(text));
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
 * @throws Error when the results are of other questions than the study plans, so that their contents could not be told
 */
export function reportable(spec: StudySpec, planned: readonly PlannedRun[], results: readonly StudyRun[]): Reportable {
  const resultOf = ({ variant, seed }: PlannedRun): StudyRun | undefined =>
    results.find((run) => run.variant === variant && run.seed === seed);
  for (const { config, ...run } of planned)
    for (const { right } of resultOf({ config, ...run })?.evaluations ?? [])
      for (const [task, { length }] of Object.entries(right))
        if (length !== config.evaluationQuestions)
          throw new Error(
            `The results of ${config.name} are of ${length} questions of ${task}, the study plans ` +
              `${config.evaluationQuestions}. Set its evaluationQuestions and evaluationSeed to what they were.`,
          );
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
