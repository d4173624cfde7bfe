import type { Reader } from './duckdb-reader.js';

/**
 * Older files have a column of 32 bits for stages, in which a stage of 2^31 and more became negative. They get the column
 * of 64 bits, and stages below 2^32 as they were meant. Negative stages are looked for in any file: a crash may have come
 * between the two steps, and a repair copies an older file to a new one. DuckDB knows the smallest stage of each part of
 * the column, so that costs next to nothing.
 */
export async function widenStages(reader: Reader): Promise<void> {
  const [column] = await reader.rows(
    `SELECT data_type FROM duckdb_columns()
     WHERE database_name = current_database() AND table_name = 'events' AND column_name = 'stage'`,
  );
  // Not with USING: DuckDB 1.4 cannot read that back from its write-ahead log.
  if (column?.[0] === 'INTEGER') await reader.rows('ALTER TABLE events ALTER stage TYPE BIGINT');
  await reader.rows('UPDATE events SET stage = stage + 4294967296 WHERE stage < 0');
}
