import type { Reader } from './duckdb-reader.js';

/**
 * Widens the stage column of older files from 32 to 64 bits. Stages from 2^31 to 2^32 had become negative there and get
 * their value back. Every file is checked for negative stages: a crash may have come between the two steps, and a repair
 * copies an older file to a new one. DuckDB knows the smallest stage of each row group, so the check is cheap.
 */
export async function widenStages(reader: Reader): Promise<void> {
  const [column] = await reader.rows(
    `SELECT data_type FROM duckdb_columns()
     WHERE database_name = current_database() AND table_name = 'events' AND column_name = 'stage'`,
  );
  // Without USING: DuckDB 1.4 cannot replay that from its write-ahead log.
  if (column?.[0] === 'INTEGER') await reader.rows('ALTER TABLE events ALTER stage TYPE BIGINT');
  await reader.rows('UPDATE events SET stage = stage + 4294967296 WHERE stage < 0');
}
