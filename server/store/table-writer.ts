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
 * Appends rows to one table for as long as its file is open. DuckDB's client frees an appender and a chunk only when
 * JavaScript collects them as garbage, about 100 kB that it does not see: one of each serves every commit.
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

  /** @param row a value for each column, in the table's order and of its type; whole numbers of 64 bits as bigint */
  append(row: readonly DuckDBValue[]): void {
    for (let column = 0; column < row.length; column++) this.#vectors[column]!.setItem(this.#rows, row[column]!);
    if (++this.#rows === chunkRows) this.#handOver();
  }

  /** The rows are in the table, as far as the connection's transaction sees it. */
  flush(): void {
    this.#handOver();
    this.appender.flushSync();
  }

  /** Closes the appender, which writes what it still has: to be called in a transaction that is then rolled back. */
  drop(): void {
    try {
      this.appender.closeSync();
    } catch {
      // It failed before, or its rows do: they are not wanted.
    }
  }

  #handOver(): void {
    if (this.#rows === 0) return;
    this.#chunk.rowCount = this.#rows;
    for (const vector of this.#vectors) vector.flush();
    this.appender.appendDataChunk(this.#chunk);
    // Lets go of the texts of these rows.
    this.#chunk.reset();
    this.#rows = 0;
  }
}
