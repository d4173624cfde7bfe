import { deletionSchema } from './embedded-deletion.js';
import { pointOrderSchema } from './point-order.js';

/**
 * `points` takes all numbers until they are moved to `sorted_points` (see point-order.ts). `events` has one row per event,
 * with the payload of control events. `large_events` has the JSON texts of large events and of long control events, in
 * parts; each row has the byte length of the whole text. There are no indexes: the single writer keeps (run, seq) unique,
 * and column statistics make scans cheap.
 */
export const schema = `
  CREATE TABLE IF NOT EXISTS runs (run_id VARCHAR PRIMARY KEY, created_ms DOUBLE NOT NULL, record VARCHAR NOT NULL);
  CREATE TABLE IF NOT EXISTS events (
    run_id VARCHAR NOT NULL, seq BIGINT NOT NULL, step BIGINT NOT NULL, stage BIGINT,
    wall_time_ms DOUBLE NOT NULL, type VARCHAR NOT NULL, payload VARCHAR
  );
  CREATE TABLE IF NOT EXISTS large_events (
    run_id VARCHAR NOT NULL, seq BIGINT NOT NULL, step BIGINT NOT NULL, type VARCHAR NOT NULL,
    bytes BIGINT NOT NULL, part BIGINT NOT NULL, text VARCHAR NOT NULL
  );
  CREATE TABLE IF NOT EXISTS series (series_id INTEGER NOT NULL, run_id VARCHAR NOT NULL, metric VARCHAR NOT NULL);
  CREATE TABLE IF NOT EXISTS points (
    series_id INTEGER NOT NULL, seq BIGINT NOT NULL, step BIGINT NOT NULL, value DOUBLE NOT NULL
  );
  CREATE TABLE IF NOT EXISTS commands (
    command_id VARCHAR PRIMARY KEY, run_id VARCHAR NOT NULL, received_ms DOUBLE NOT NULL, record VARCHAR NOT NULL
  );
  ${deletionSchema}
  ${pointOrderSchema}
`;
