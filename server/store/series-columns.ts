import type { DuckDBDataChunk } from '@duckdb/node-api';

/** Collects rows of one series after another into columns of numbers; holds one series at a time. */
export class SeriesColumns {
  #id: number | null = null;
  #columns: Float64Array<ArrayBuffer>[];
  #length = 0;

  /**
   * @param width number of columns, not counting the series id
   * @param take receives one complete series and may keep its columns
   */
  constructor(
    readonly width: number,
    readonly take: (columns: Float64Array<ArrayBuffer>[], id: number) => void | Promise<void>,
  ) {
    this.#columns = this.#empty();
  }

  /** Adds rows in order of series: the id, then the columns. */
  async add(chunk: DuckDBDataChunk): Promise<void> {
    const vectors = Array.from({ length: this.width + 1 }, (_, i) => chunk.getColumnVector(i));
    for (let row = 0; row < chunk.rowCount; row++) {
      const id = vectors[0]!.getItem(row) as number;
      if (id !== this.#id) {
        await this.end();
        this.#id = id;
      }
      if (this.#length === this.#columns[0]!.length) this.#grow();
      for (let column = 0; column < this.width; column++)
        this.#columns[column]![this.#length] = vectors[column + 1]!.getItem(row) as number;
      this.#length++;
    }
  }

  /** Ends the last series. */
  async end(): Promise<void> {
    if (this.#id === null) return;
    const [id, length, columns] = [this.#id, this.#length, this.#columns];
    this.#id = null;
    this.#length = 0;
    this.#columns = this.#empty();
    await this.take(
      columns.map((column) => column.subarray(0, length)),
      id,
    );
  }

  #empty(): Float64Array<ArrayBuffer>[] {
    return Array.from({ length: this.width }, () => new Float64Array(64));
  }

  #grow(): void {
    this.#columns = this.#columns.map((column) => {
      const longer = new Float64Array(2 * column.length);
      longer.set(column);
      return longer;
    });
  }
}
