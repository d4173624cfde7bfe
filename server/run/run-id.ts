import { randomBytes } from 'node:crypto';
import { RunId, type RunConfig } from '@plumbline/shared/run';

/** A readable id from the run's name: `counting-full-5f3a9c`. */
export function newRunId(config: RunConfig): RunId {
  const slug = config.name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40);
  return RunId.parse(`${slug || 'run'}-${randomBytes(3).toString('hex')}`);
}
