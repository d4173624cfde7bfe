import { z } from 'zod';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { builtInDeclaration } from '@plumbline/shared/built-in/series';
import { blocks, contributionChange, metrics, numberTokenPush, weightDrift } from '@plumbline/shared/metric';
import type { ModelInfo, ModelRecipe, ParameterGroup, ParameterRole } from '@plumbline/shared/parameter';
import type { RunDescription } from '@plumbline/shared/run-description';
import type { SeriesDeclaration } from '@plumbline/shared/series';
import { RunStarted, TrainerEvent, type ControlEvent } from '@plumbline/shared/trainer-event';

/*
 * Runs of protocol 1. Their trainers gave parameters a group and no role, knew recipes only by name, and declared no series.
 * A run had the built-in trainer's configuration in place of a description. Stored data is unchanged, so that digests of
 * exports stay valid; readers get it in today's protocol. Only this file knows how the built-in trainer spelled its
 * groups.
 */

/** The configuration of a run in any version of protocol 1. The first versions had a single task. */
const ConfigOfProtocol1 = z.preprocess((data) => {
  if (typeof data !== 'object' || data === null || !('task' in data)) return data;
  const { task, ...config } = data;
  return { ...config, tasks: [task] };
}, RunConfig);

/** Checks such a configuration and keeps it as written, without defaults of later settings. */
export const WrittenConfig = z.unknown().superRefine((config, context) => {
  for (const { path, message } of ConfigOfProtocol1.safeParse(config).error?.issues ?? [])
    context.addIssue({ code: 'custom', path: path as (string | number)[], message });
});

/** A run's record with a description, whichever version wrote it. @throws ZodError for an invalid configuration */
export function upToDateRun<R extends object>(record: R): R & { description: RunDescription } {
  if (!('config' in record)) return record as R & { description: RunDescription };
  return { ...record, description: describeRun(ConfigOfProtocol1.parse(record.config)) };
}

/** A run's record as it was written, for exports and digests. */
export function recordAsWritten(run: { config?: unknown; description: RunDescription }): object {
  if (!('config' in run)) return run;
  const { description: _, ...written } = run;
  return written;
}

const ModelOfProtocol1 = z.object({
  name: z.string().max(200),
  parameters: z
    .array(
      z.object({
        name: z.string().min(1).max(200),
        shape: z.array(z.number().int().nonnegative()).max(8),
        size: z.number().int().nonnegative(),
        group: z.string().min(1).max(200),
        fixed: z.boolean().optional(),
      }),
    )
    .max(5000),
});
const RunStartedOfProtocol1 = RunStarted.extend({ model: ModelOfProtocol1 });
type RunStartedOfProtocol1 = z.infer<typeof RunStartedOfProtocol1>;

/** An event as it is stored and exported: as its trainer sent it, in protocol 1 or in today's. */
export type StoredEvent = TrainerEvent | RunStartedOfProtocol1;
export type StoredControlEvent = ControlEvent | RunStartedOfProtocol1;

const WithoutGroups = z.object({
  type: z.literal('run_started'),
  model: z
    .object({})
    .loose()
    .refine((model) => !('groups' in model)),
});
/** Returns its input unchanged; faults come from the schema of the event's version. */
export const StoredEvent = z.unknown().transform((data, context): StoredEvent => {
  const parsed = (WithoutGroups.safeParse(data).success ? RunStartedOfProtocol1 : TrainerEvent).safeParse(data);
  if (parsed.success) return parsed.data;
  for (const { path, message } of parsed.error.issues)
    context.addIssue({ code: 'custom', path: path as (string | number)[], message });
  return z.NEVER;
});

/** A stored event in today's protocol. */
export function upToDateEvent(event: StoredControlEvent): ControlEvent;
export function upToDateEvent(event: StoredEvent): TrainerEvent;
export function upToDateEvent(event: StoredEvent): TrainerEvent {
  if (event.type !== 'run_started' || 'groups' in event.model) return event as TrainerEvent;
  return { ...event, model: upToDateModel(event.model), series: declarationsOf(event) };
}

/** As `upToDateEvent`, for a JSON text. Models with roles have recipes too, so their long texts need no parsing. */
export function upToDateText(text: string): string {
  if (!text.includes('"type":"run_started"') || text.includes('"recipes":[')) return text;
  return JSON.stringify(upToDateEvent(JSON.parse(text) as StoredControlEvent));
}

/** The declarations that the built-in trainer would send today. */
function declarationsOf({ baseline, model }: RunStartedOfProtocol1): SeriesDeclaration[] {
  const groups = [...new Set(model.parameters.map(({ group }) => group))];
  const layers = new Set(groups.flatMap((group) => roleOfGroup(group).layer ?? []));
  const names = new Set([
    ...Object.values(metrics),
    ...Object.keys(baseline),
    ...groups.map(weightDrift),
    ...[contributionChange, numberTokenPush].flatMap((of) =>
      [...layers].flatMap((layer) => blocks.map((block) => of(layer, block))),
    ),
  ]);
  names.delete(metrics.questionsPerTask);
  return [...names].map((name, number) => ({ number, ...builtInDeclaration(name, baseline) }));
}

function upToDateModel({ name, parameters }: z.infer<typeof ModelOfProtocol1>): ModelInfo {
  const names = [...new Set(parameters.map(({ group }) => group))];
  const groups = names.map((group): ParameterGroup => ({ name: group, ...roleOfGroup(group) }));
  const recipes = oldRecipes.flatMap(({ trains, ...recipe }): ModelRecipe[] => {
    const hit = names.filter((group) => trains.test(group));
    return hit.length > 0 || recipe.name === 'none' ? [{ ...recipe, groups: hit }] : [];
  });
  return { name, groups, parameters, recipes };
}

function roleOfGroup(group: string): ParameterRole {
  const inLayer =
    /^language_model\.layers\.(\d{1,5})\.(?:(norms)|(self_attn|mlp)\.(?:experts\.(\d{1,6})\.)?(\w+))$/.exec(group);
  if (inLayer) {
    const [, layer, norms, block, expert, projection] = inLayer;
    if (norms) return { part: 'language', layer: Number(layer), block: norms };
    return {
      ...{ part: 'language', layer: Number(layer), block: block!, projection: projection! },
      ...(expert !== undefined && { expert: Number(expert) }),
    };
  }
  if (group === 'language_model.embed_tokens') return { part: 'embedding' };
  if (group === 'language_model.lm_head') return { part: 'head' };
  if (group === 'language_model.norm') return { part: 'language', block: 'norms' };
  if (group === 'vision_tower') return { part: 'vision' };
  if (group === 'multi_modal_projector') return { part: 'projector' };
  return { part: group.startsWith('language_model.') ? 'language' : 'other' };
}

const inLayer = (path: string): RegExp => new RegExp(`^language_model\\.layers\\.\\d+\\.(${path})$`);
const mlp = (projections: string): string => `mlp\\.(experts\\.\\d+\\.)?(${projections})_proj`;
const oldRecipes: readonly (Pick<ModelRecipe, 'name' | 'label'> & { trains: RegExp })[] = [
  { name: 'full', label: 'Full', trains: /^language_model\./ },
  { name: 'sa_proj', label: 'SA Proj', trains: inLayer('self_attn\\.(q|k|v|o)_proj') },
  { name: 'mlp', label: 'MLP', trains: inLayer(`${mlp('gate|up|down')}|mlp\\.router`) },
  { name: 'mlp_gate_up', label: 'MLP Gate & Up', trains: inLayer(mlp('gate|up')) },
  { name: 'mlp_down', label: 'MLP Down', trains: inLayer(mlp('down')) },
  { name: 'projector', label: 'Projector', trains: /^multi_modal_projector$/ },
  { name: 'none', label: 'None', trains: /^(?!)/ },
];
