import type { RunId } from '@plumbline/shared/run';
import type { Transaction } from './duckdb-file.js';

/** Deleted runs, so that their files elsewhere can be removed after a crash. */
export const deletionSchema = `
  CREATE TABLE IF NOT EXISTS deleted_runs (run_id VARCHAR NOT NULL);
`;

/**
 * Deletes all rows of a run and records the deletion, in one transaction: after a crash the run is either complete or
 * gone and recorded as deleted.
 */
export async function deleteRunRows(transaction: Transaction, runId: RunId): Promise<void> {
  const wasThere = await transaction.run('SELECT 1 FROM runs WHERE run_id = $1', [runId]);
  for (const table of ['points', 'sorted_points'])
    await transaction.run(`DELETE FROM ${table} WHERE series_id IN (SELECT series_id FROM series WHERE run_id = $1)`, [
      runId,
    ]);
  for (const table of ['series', 'events', 'large_events', 'commands', 'runs'])
    await transaction.run(`DELETE FROM ${table} WHERE run_id = $1`, [runId]);
  if (wasThere.rowCount > 0) await transaction.run('INSERT INTO deleted_runs VALUES ($1)', [runId]);
}
