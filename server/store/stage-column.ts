import type { Reader } from './duckdb-file.js';

/**
 * Older files have a column of 32 bits for stages, in which a stage of 2^31 and more became negative. This is the stage
 * that was meant, for stages below 2^32.
 */
export const intendedStage = 'CASE WHEN stage < 0 THEN stage::BIGINT + 4294967296 ELSE stage::BIGINT END';

/** Gives an older file the column of 64 bits. One statement, so that a crash leaves the old column or the new one. */
export async function widenStages(reader: Reader): Promise<void> {
  const [column] = await reader.rows(
    `SELECT data_type FROM duckdb_columns()
     WHERE database_name = current_database() AND table_name = 'events' AND column_name = 'stage'`,
  );
  if (column?.[0] !== 'INTEGER') return;
  await reader.rows(`ALTER TABLE events ALTER stage TYPE BIGINT USING ${intendedStage}`);
}
