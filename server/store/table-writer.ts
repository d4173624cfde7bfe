import {
  DuckDBDataChunk,
  type DuckDBAppender,
  type DuckDBConnection,
  type DuckDBType,
  type DuckDBValue,
  type DuckDBVector,
} from '@duckdb/node-api';

/** Rows of a DuckDB vector. */
const chunkRows = 2048;

/**
 * Appends rows to one table while its file is open. DuckDB's client frees an appender and a chunk (about 100 kB that
 * JavaScript does not see) only at garbage collection, so one of each serves every commit.
 */
export class TableWriter {
  readonly #chunk: DuckDBDataChunk;
  readonly #vectors: DuckDBVector[];
  #rows = 0;

  private constructor(
    readonly appender: DuckDBAppender,
    types: readonly DuckDBType[],
  ) {
    this.#chunk = DuckDBDataChunk.create([...types], chunkRows);
    this.#vectors = types.map((_, column) => this.#chunk.getColumnVector(column));
  }

  static async open(connection: DuckDBConnection, table: string): Promise<TableWriter> {
    const appender = await connection.createAppender(table);
    return new TableWriter(
      appender,
      Array.from({ length: appender.columnCount }, (_, column) => appender.columnType(column)),
    );
  }

  /** @param row a value per column, in the table's order and of its type; 64-bit integers as bigint */
  append(row: readonly DuckDBValue[]): void {
    for (let column = 0; column < row.length; column++) this.#vectors[column]!.setItem(this.#rows, row[column]!);
    if (++this.#rows === chunkRows) this.#handOver();
  }

  /** Flushes the rows into the table, visible to the connection's transaction. */
  flush(): void {
    this.#handOver();
    this.appender.flushSync();
  }

  /** Closes the appender. It writes its remaining rows, so call this in a transaction that is rolled back. */
  drop(): void {
    try {
      this.appender.closeSync();
    } catch {
      // The appender failed earlier, or its rows are invalid: they are not needed.
    }
  }

  #handOver(): void {
    if (this.#rows === 0) return;
    this.#chunk.rowCount = this.#rows;
    for (const vector of this.#vectors) vector.flush();
    this.appender.appendDataChunk(this.#chunk);
    // Releases the texts of these rows.
    this.#chunk.reset();
    this.#rows = 0;
  }
}
