import { Router } from 'express';
import type { CatalogResponse } from '@plumbline/shared/http';
import { recipes } from '@plumbline/shared/parameter';
import { backends, RunConfig, targetTaskNames } from '@plumbline/shared/run';

/** GET /api/catalog: what the new-run form offers. */
export function catalogRoutes(): Router {
  return Router().get('/catalog', (_request, response) => {
    const defaults = RunConfig.parse({ name: 'Counting' });
    response.json({ tasks: targetTaskNames, recipes, backends, defaults } satisfies CatalogResponse);
  });
}
