import { z } from 'zod';
import {
  maxLineLength,
  maxNotesLength,
  maxSettingsDepth,
  maxSettingsLength,
  maxStages,
  maxStep,
  maxTagLength,
  maxTags,
  maxTasks,
  maxWordLength,
} from './limits.js';
import { GuardRules } from './rule.js';

/** Any JSON object: what a trainer was set to, in its own words. Bounded in size and depth. */
export const RunSettings = z
  .unknown()
  .superRefine((given, context) => {
    // Without a bound first, a deep value would overflow the stack.
    const fault = jsonFault(given, maxSettingsDepth);
    if (fault) return void context.addIssue({ code: 'custom', ...fault });
    const { length } = JSON.stringify(given) ?? '';
    if (length > maxSettingsLength)
      context.addIssue({
        code: 'custom',
        message: `settings have at most ${maxSettingsLength} characters as JSON, not ${length}: leave out what is long`,
      });
  })
  .pipe(z.record(z.string(), z.unknown()));
export type RunSettings = z.infer<typeof RunSettings>;

/** The first thing in a value that does not come back from JSON as it was. */
function jsonFault(
  value: unknown,
  depth: number,
  path: PropertyKey[] = [],
): { message: string; path: PropertyKey[] } | null {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return null;
  if (typeof value === 'number')
    return Number.isFinite(value) ? null : { path, message: `${value} is no number of JSON: send it as text` };
  if (typeof value !== 'object') return { path, message: 'settings are JSON' };
  if (depth === 0) return { path, message: `settings are at most ${maxSettingsDepth} levels deep` };
  // Of bytes, Socket.IO makes an object of another kind.
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype)
    return { path, message: 'settings are JSON' };
  for (const [key, part] of Object.entries(value)) {
    // Zod passes over this one without a word.
    if (key === '__proto__') return { path: [...path, key], message: 'this name cannot be taken; choose another' };
    const fault = jsonFault(part, depth - 1, [...path, Array.isArray(value) ? Number(key) : key]);
    if (fault) return fault;
  }
  return null;
}

export const TaskName = z.string().min(1).max(maxWordLength);

/** `target`: what the run is to learn. `held_out`: what the base model can do and may forget. */
export const taskKinds = ['target', 'held_out'] as const;
export type TaskKind = (typeof taskKinds)[number];

/** A task whose accuracy the run measures, as `target/<name>/accuracy` or `held_out/<name>/accuracy`. */
export const RunTask = z.object({
  name: TaskName,
  /** What people read; the name where there is none. */
  label: z.string().trim().min(1).max(maxWordLength).optional(),
  kind: z.enum(taskKinds),
});
export type RunTask = z.infer<typeof RunTask>;

/** Part of a run that trains one task. A run's stages follow on each other from step 0. */
export const RunStage = z.object({ task: TaskName, steps: z.number().int().positive().max(maxStep) });
export type RunStage = z.infer<typeof RunStage>;

/** What of a description may change in mid-run, by `run_described`. */
const changeable = {
  name: z.string().trim().min(1).max(maxLineLength),
  /** Short words to find runs by. */
  tags: z
    .array(z.string().trim().min(1).max(maxTagLength))
    .max(maxTags)
    .refine((tags) => new Set(tags).size === tags.length, 'a tag is given once'),
  /** Free text, which may have lines. */
  notes: z.string().max(maxNotesLength),
  /** Optimizer steps of the whole run; null: not known. */
  totalSteps: z.number().int().positive().max(maxStep).nullable(),
  /** The stages that are planned; none where a run has no stages, or says each when it starts (`stage_started`). */
  stages: z.array(RunStage).max(maxStages),
};

/** What changes of a run's description; what is left out stays. */
export const DescriptionChange = z.object(changeable).partial();
export type DescriptionChange = z.infer<typeof DescriptionChange>;
export const changeableKeys = Object.keys(changeable) as readonly (keyof DescriptionChange)[];

/**
 * What a trainer says of its run. All but the name may be left out; what is left out is not known, and nobody is told a
 * default in its place.
 */
export const RunDescription = z.object({
  name: changeable.name,
  settings: RunSettings.default({}),
  tags: changeable.tags.default([]),
  notes: changeable.notes.default(''),
  tasks: z
    .array(RunTask)
    .max(maxTasks)
    .refine(
      (tasks) => new Set(tasks.map(({ kind, name }) => `${kind} ${name}`)).size === tasks.length,
      'a task is given once for each kind',
    )
    .default([]),
  stages: changeable.stages.default([]),
  totalSteps: changeable.totalSteps.default(null),
  /** How many steps lie between two probes; null: not known. */
  probeEverySteps: z.number().int().positive().max(maxStep).nullable().default(null),
  /** What the hub watches for and does by itself, to begin with: they may be set anew in mid-run (`set_rules`). */
  rules: GuardRules.default([]),
});
export type RunDescription = z.infer<typeof RunDescription>;

export const tasksOfKind = ({ tasks }: Pick<RunDescription, 'tasks'>, kind: TaskKind): RunTask[] =>
  tasks.filter((task) => task.kind === kind);

/** What people read of a task: its label, or its name where the trainer gave none. */
export const taskLabel = (
  { tasks }: Pick<RunDescription, 'tasks'>,
  name: string,
  kind: TaskKind = 'target',
): string => {
  const named = tasks.filter((task) => task.name === name);
  return (named.find((task) => task.kind === kind) ?? named[0])?.label ?? name;
};

/** The target tasks that a run names; of one that names none, those whose accuracy is among its series. */
export function targetNames(description: Pick<RunDescription, 'tasks'>, series: Iterable<string>): string[] {
  const named = tasksOfKind(description, 'target').map(({ name }) => name);
  if (named.length > 0) return named;
  return [...series].flatMap((name) => /^target\/(.+)\/accuracy$/.exec(name)?.[1] ?? []);
}
