import type { DuckDBDataChunk } from '@duckdb/node-api';

/**
 * Columns of numbers that grow, as rows of series after series come in. All series share the columns: arrays of its own
 * for each of 50,000 series would need many times the memory of their numbers.
 */
export class SeriesColumns {
  #columns: Float64Array<ArrayBuffer>[];
  #length = 0;
  readonly #ids: number[] = [];
  /** The first row of each series. */
  readonly #starts: number[] = [];

  /** @param width how many columns beside the series' id */
  constructor(readonly width: number) {
    this.#columns = Array.from({ length: width }, () => new Float64Array(64));
  }

  /** Adds rows in order of series: the id, then the columns. */
  add(chunk: DuckDBDataChunk): void {
    const vectors = Array.from({ length: this.width + 1 }, (_, i) => chunk.getColumnVector(i));
    for (let row = 0; row < chunk.rowCount; row++) {
      const id = vectors[0]!.getItem(row) as number;
      if (id !== this.#ids.at(-1)) {
        this.#ids.push(id);
        this.#starts.push(this.#length);
      }
      if (this.#length === this.#columns[0]!.length) this.#grow();
      for (let column = 0; column < this.width; column++)
        this.#columns[column]![this.#length] = vectors[column + 1]!.getItem(row) as number;
      this.#length++;
    }
  }

  /** The series, once there are no more rows. Their columns are views of the shared ones. */
  *series(): Generator<[id: number, columns: Float64Array<ArrayBuffer>[]]> {
    if (2 * this.#length <= this.#columns[0]!.length)
      this.#columns = this.#columns.map((column) => column.slice(0, this.#length));
    for (const [index, id] of this.#ids.entries()) {
      const [from, to] = [this.#starts[index]!, this.#starts[index + 1] ?? this.#length];
      yield [id, this.#columns.map((column) => column.subarray(from, to))];
    }
  }

  #grow(): void {
    this.#columns = this.#columns.map((column) => {
      const longer = new Float64Array(2 * column.length);
      longer.set(column);
      return longer;
    });
  }
}
