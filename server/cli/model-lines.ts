import type { ModelRecipe, ParameterGroup } from '@plumbline/shared/parameter';
import type { RunSummary } from '@plumbline/shared/run';
import type { HubApi } from '../hub-api.js';
import { currentTraining } from './current-training.js';
import { table } from './table.js';

/** The parts of a run's model that can be trained and frozen, by name. */
export interface ModelParts {
  model: string;
  recipes: (ModelRecipe & { parameters: number })[];
  groups: (ParameterGroup & { tensors: number; parameters: number; trained: boolean })[];
}

/** Reads the parts of a run's model and which of them are trained now. @throws Error before the run has started */
export async function modelOf(hub: HubApi, { runId }: RunSummary): Promise<ModelParts> {
  const { events } = await hub.controlEvents(runId);
  const now = currentTraining(events);
  if (!now) throw new Error(`${runId} has not started yet: its model is not known.`);
  const { name: model, groups, parameters, recipes } = now.model;
  const trained = new Set(now.trainable);
  const of = new Map(groups.map(({ name }) => [name, { tensors: 0, parameters: 0, trained: false }]));
  for (const { name, size, group } of parameters) {
    const sums = of.get(group)!;
    sums.tensors++;
    sums.parameters += size;
    sums.trained ||= trained.has(name);
  }
  const sizeOf = (names: readonly string[]): number => names.reduce((sum, name) => sum + of.get(name)!.parameters, 0);
  return {
    model,
    recipes: recipes.map((recipe) => ({ ...recipe, parameters: sizeOf(recipe.groups) })),
    groups: groups.map((group) => ({ ...group, ...of.get(group.name)! })),
  };
}

export function modelLines({ model, recipes, groups }: ModelParts): string[] {
  const number = (value: number): string => value.toLocaleString('en-US');
  return [
    `${model}: ${number(groups.length)} groups, ${recipes.length} recipes`,
    ...table(
      ['RECIPE', 'GROUPS', 'PARAMETERS'],
      recipes.map(({ name, groups: hit, parameters }) => [name, number(hit.length), number(parameters)]),
      [1, 2],
    ).slice(recipes.length > 0 ? 0 : 1),
    ...table(
      ['GROUP', 'PART', 'TENSORS', 'PARAMETERS', 'NOW'],
      groups.map(({ name, part, tensors, parameters, trained }) => [
        ...[name, part, number(tensors), number(parameters), trained ? 'trained' : 'frozen'],
      ]),
      [2, 3],
    ).slice(groups.length > 0 ? 0 : 1),
  ];
}
