import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { z } from 'zod';
import type { Recipe } from '@plumbline/shared/built-in/recipe';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { totalSteps } from '@plumbline/shared/built-in/described-run';
import { knownOnly } from '@plumbline/shared/known-only';
import { readGivenFile } from '../given-file.js';
import { UsageError } from '../usage-error.js';

const Slug = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,30}$/, 'a name is 1 to 31 of a-z 0-9 _ -');
/** What a run's configuration may say; checked as a whole once the parts are laid over each other. */
const Settings = z.record(z.string(), z.unknown());

/** So many faults of a file are told at one time. */
const maxFaults = 10;

/** What all runs of a study have in common, or their answers could not be compared. */
const commonSettings = ['tasks', 'evaluationQuestions', 'evaluationSeed'] as const;

/** One way to teach the sequence: settings that differ from the study's common ones. */
const Variant = z.object({
  /** What it shows, for the report. */
  says: z.string().max(200).default(''),
  config: Settings.default({}),
  /**
   * An intervention: another variant's run goes on from this step under this variant's settings. Both have the same
   * course up to there, so their difference is what the intervention did.
   */
  from: z.object({ variant: Slug, step: z.number().int().min(1) }).optional(),
});

/** A study: the same sequence of skills, taught in several ways, each with several seeds. */
export const StudySpec = z.object({
  name: Slug,
  title: z.string().max(200).default(''),
  seeds: z.array(z.number().int().min(0).max(0xffffffff)).min(1, 'a study has at least one seed').max(100),
  config: Settings.default({}),
  variants: z.record(Slug, Variant),
  /** The variant that the others are compared with. */
  reference: Slug.default('full'),
});
export type StudySpec = z.infer<typeof StudySpec>;

/** One run that a study needs. */
export interface PlannedRun {
  variant: string;
  seed: number;
  /** Its name tells whose it is: by it a study that was killed finds its runs again. */
  config: RunConfig;
  /** The planned run whose checkpoint it starts from, of the same seed. */
  from?: { variant: string; step: number };
}

export const plannedName = (study: string, variant: string, seed: number): string => `${study}/${variant}/s${seed}`;

/** Reads a study from YAML or JSON. @throws UsageError that names the file, the place in it and what is wrong */
export function readStudy(path: string): { spec: StudySpec; runs: PlannedRun[] } {
  const text = readGivenFile(path, 'a study', 'docs/study has some.');
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    throw new UsageError(
      `${path} is neither YAML nor JSON: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
  const read = knownOnly(StudySpec).safeParse(content);
  if (!read.success) throw new UsageError(`${path}: ${sayFaults(read.error.issues.map((issue) => faultWords(issue)))}`);
  try {
    return { spec: read.data, runs: plan(read.data) };
  } catch (error) {
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** All runs of a study, seed after seed, each after the one it branches from. @throws Error saying what does not fit */
export function plan(spec: StudySpec): PlannedRun[] {
  const variants = Object.entries(spec.variants);
  // All that is wrong is told at one time.
  const faults: string[] = [];
  if (!(spec.reference in spec.variants))
    faults.push(
      `reference: there is no variant "${spec.reference}"; there are ${Object.keys(spec.variants).join(', ')}.`,
    );
  const kept = new Map<string, number[]>();
  for (const [name, { from }] of variants) {
    if (!from) continue;
    const parent = spec.variants[from.variant];
    if (!parent) faults.push(`variants.${name}.from: there is no variant "${from.variant}".`);
    else if (parent.from)
      faults.push(`variants.${name}.from: ${from.variant} is itself a branch; name the one it is from.`);
    kept.set(from.variant, [...(kept.get(from.variant) ?? []), from.step]);
  }
  // Branches last, so that what they start from is there.
  const ordered = [...variants.filter(([, { from }]) => !from), ...variants.filter(([, { from }]) => from)];
  const common = { evaluationQuestions: 200, ...spec.config };
  const settingsOf = (variant: string, seed: number): Record<string, unknown> => ({
    ...{ ...common, ...spec.variants[variant]!.config, name: plannedName(spec.name, variant, seed), seed },
    ...(kept.has(variant) && { keepCheckpointsAt: kept.get(variant) }),
  });
  faults.push(...settingFaults(common, spec, settingsOf));
  if (faults.length > 0) throw new Error(sayFaults(faults));
  const runs = spec.seeds.flatMap((seed) =>
    ordered.map(([variant, { from }]): PlannedRun => {
      const read = RunConfig.parse(settingsOf(variant, seed));
      if (from && from.step >= totalSteps(read))
        throw new Error(`variants.${variant}.from: step ${from.step} leaves nothing of ${totalSteps(read)} steps.`);
      return { variant, seed, config: read, ...(from && { from }) };
    }),
  );
  const [first] = runs;
  for (const { variant, config } of runs)
    for (const key of commonSettings)
      if (!isDeepStrictEqual(config[key], first!.config[key]))
        throw new Error(
          `variants.${variant}.config.${key}: ${first!.variant} has another; answers are compared only between runs ` +
            `that have it in common. Set it in the study's config.`,
        );
  for (const { variant, config, from } of runs) {
    const parent = runs.find((run) => run.variant === from?.variant);
    if (parent && parent.config.steps !== config.steps)
      throw new Error(
        `variants.${variant}.config.steps: a branch has the steps of ${parent.variant}, whose stages it goes on with.`,
      );
  }
  return runs;
}

/**
 * The variant that shows what a recipe does: the first in the file that trains it and nothing else, by plain fine-tuning
 * from the base to the end, with no rule and no branch, whatever its name. WiSE-FT is plain fine-tuning as far as it
 * trains; its weights between are rows of their own.
 */
export const plainVariant = (runs: readonly PlannedRun[], recipe: Recipe): string | null =>
  runs.find(
    ({ config, from }) =>
      !from &&
      config.recipe === recipe &&
      config.rules.length === 0 &&
      ['fine_tuning', 'wise_ft'].includes(config.method.kind),
  )?.variant ?? null;

/** What is wrong with the settings of runs, told of the common ones and not of each variant again. */
function settingFaults(
  common: Record<string, unknown>,
  spec: StudySpec,
  settingsOf: (variant: string, seed: number) => Record<string, unknown>,
): string[] {
  const ofAll = issuesOf({ ...common, name: spec.name });
  const known = new Set(ofAll.map((issue) => faultWords(issue)));
  return [
    ...ofAll.map((issue) => faultWords(issue, 'config')),
    ...Object.keys(spec.variants).flatMap((variant) =>
      issuesOf(settingsOf(variant, spec.seeds[0]!))
        .filter((issue) => !known.has(faultWords(issue)))
        .map((issue) => faultWords(issue, `variants.${variant}.config`)),
    ),
  ];
}

type Issue = Pick<z.core.$ZodIssue, 'path' | 'message'>;

function issuesOf(settings: Record<string, unknown>): Issue[] {
  const read = knownOnly(RunConfig).safeParse(settings);
  if (!read.success) return read.error.issues;
  const message = 'a study rests on answers; ask at least 1 question a task.';
  return read.data.evaluationQuestions === 0 ? [{ path: ['evaluationQuestions'], message }] : [];
}

/** @param where the place in the file that the issue's path goes on from */
const faultWords = ({ path, message }: Issue, where?: string): string =>
  `${[...(where ? [where] : []), ...path].join('.') || 'the file'}: ${message}`;

function sayFaults(faults: readonly string[]): string {
  const left = faults.length - maxFaults;
  return [...faults.slice(0, maxFaults), ...(left > 0 ? [`and ${left} more`] : [])].join('; ');
}
