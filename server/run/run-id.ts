import { randomBytes } from 'node:crypto';
import { RunId } from '@plumbline/shared/run';

/** A readable id from the run's name: `counting-full-5f3a9c`. */
export function newRunId({ name }: { name: string }): RunId {
  const slug = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40);
  return RunId.parse(`${slug || 'run'}-${randomBytes(3).toString('hex')}`);
}
