import type { backends } from './run-settings.js';
import type { RunConfig } from './run-config.js';
import type { targetTaskNames } from './tasks.js';
import type { recipes } from './recipe.js';

/** GET /api/catalog: what the new-run form offers. */
export interface CatalogResponse {
  tasks: typeof targetTaskNames;
  recipes: typeof recipes;
  backends: typeof backends;
  defaults: RunConfig;
}
