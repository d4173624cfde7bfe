import type { backends, RunConfig, targetTaskNames } from '../run.js';
import type { recipes } from './recipe.js';

/** GET /api/catalog: what the new-run form offers. */
export interface CatalogResponse {
  tasks: typeof targetTaskNames;
  recipes: typeof recipes;
  backends: typeof backends;
  defaults: RunConfig;
}
