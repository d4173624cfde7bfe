import { Router } from 'express';
import type { CatalogResponse } from '@plumbline/shared/built-in/catalog';
import { recipes } from '@plumbline/shared/built-in/recipe';
import { targetTaskNames } from '@plumbline/shared/built-in/tasks';
import { backends } from '@plumbline/shared/built-in/run-settings';
import { RunConfig } from '@plumbline/shared/built-in/run-config';

/** GET /api/catalog: the choices of the new-run form. */
export function catalogRoutes(): Router {
  return Router().get('/catalog', (_request, response) => {
    const defaults = RunConfig.parse({ name: 'Counting' });
    response.json({ tasks: targetTaskNames, recipes, backends, defaults } satisfies CatalogResponse);
  });
}
