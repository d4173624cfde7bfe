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

/** The trainer's own settings: any JSON object of bounded size and depth. */
export const RunSettings = z
  .unknown()
  .superRefine((given, context) => {
    // Checks the depth first: a deep value would overflow the stack.
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

/** The first part of a value that JSON cannot represent. */
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
  // Socket.IO turns bytes into an object with another prototype.
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype)
    return { path, message: 'settings are JSON' };
  for (const [key, part] of Object.entries(value)) {
    // Zod drops this key silently.
    if (key === '__proto__') return { path: [...path, key], message: 'this name cannot be taken; choose another' };
    const fault = jsonFault(part, depth - 1, [...path, Array.isArray(value) ? Number(key) : key]);
    if (fault) return fault;
  }
  return null;
}

export const TaskName = z.string().min(1).max(maxWordLength);

/** `target`: the run is to learn it. `held_out`: the base model can do it and may forget it. */
export const taskKinds = ['target', 'held_out'] as const;
export type TaskKind = (typeof taskKinds)[number];

/** A task whose accuracy the run measures, as `target/<name>/accuracy` or `held_out/<name>/accuracy`. */
export const RunTask = z.object({
  name: TaskName,
  /** For people; the name if absent. */
  label: z.string().trim().min(1).max(maxWordLength).optional(),
  kind: z.enum(taskKinds),
});
export type RunTask = z.infer<typeof RunTask>;

/** A part of a run that trains one task. Stages follow each other from step 0. */
export const RunStage = z.object({ task: TaskName, steps: z.number().int().positive().max(maxStep) });
export type RunStage = z.infer<typeof RunStage>;

/** The fields of a description that `run_described` may change in mid-run. */
const changeable = {
  name: z.string().trim().min(1).max(maxLineLength),
  /** Short words to find runs by. */
  tags: z
    .array(z.string().trim().min(1).max(maxTagLength))
    .max(maxTags)
    .refine((tags) => new Set(tags).size === tags.length, 'a tag is given once'),
  /** Free text of any number of lines. */
  notes: z.string().max(maxNotesLength),
  /** Optimizer steps of the whole run; null: not known. */
  totalSteps: z.number().int().positive().max(maxStep).nullable(),
  /** The planned stages; empty if the run has none, or announces each when it begins (`stage_started`). */
  stages: z.array(RunStage).max(maxStages),
};

/** A change of a run's description; absent fields stay as they are. */
export const DescriptionChange = z.object(changeable).partial();
export type DescriptionChange = z.infer<typeof DescriptionChange>;
export const changeableKeys = Object.keys(changeable) as readonly (keyof DescriptionChange)[];

/**
 * A run as its trainer describes it. Everything but the name is optional. An absent field is unknown, and no page shows a
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
  /** The number of steps between two probes; null: unknown. */
  probeEverySteps: z.number().int().positive().max(maxStep).nullable().default(null),
  /** The guard rules at the start; `set_rules` may replace them in mid-run. */
  rules: GuardRules.default([]),
});
export type RunDescription = z.infer<typeof RunDescription>;
