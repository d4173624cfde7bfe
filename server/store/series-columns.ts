import type { DuckDBDataChunk } from '@duckdb/node-api';

/** Columns of numbers that grow, as rows of series after series come in. */
export class SeriesColumns {
  #id: number | null = null;
  #columns: Float64Array<ArrayBuffer>[];
  #length = 0;
  #done: [id: number, columns: Float64Array<ArrayBuffer>[]][] = [];

  /** @param width how many columns beside the series' id */
  constructor(readonly width: number) {
    this.#columns = this.#empty();
  }

  /** Rows in order of series: the id, then the columns. */
  add(chunk: DuckDBDataChunk): void {
    const vectors = Array.from({ length: this.width + 1 }, (_, i) => chunk.getColumnVector(i));
    for (let row = 0; row < chunk.rowCount; row++) {
      const id = vectors[0]!.getItem(row) as number;
      if (id !== this.#id) {
        this.#end();
        this.#id = id;
      }
      if (this.#length === this.#columns[0]!.length) this.#grow();
      for (let column = 0; column < this.width; column++)
        this.#columns[column]![this.#length] = vectors[column + 1]!.getItem(row) as number;
      this.#length++;
    }
  }

  /** All series, once there are no more rows. */
  end(): [id: number, columns: Float64Array<ArrayBuffer>[]][] {
    this.#end();
    return this.#done;
  }

  #end(): void {
    if (this.#id === null) return;
    const [length, columns] = [this.#length, this.#columns];
    // Many short series are kept in no more room than they need.
    const isShort = 2 * length <= columns[0]!.length;
    this.#done.push([
      this.#id,
      columns.map((column) => (isShort ? column.slice(0, length) : column.subarray(0, length))),
    ]);
    if (!isShort) this.#columns = this.#empty();
    this.#id = null;
    this.#length = 0;
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
