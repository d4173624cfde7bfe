/*
 * The text of a `run_started` of 50,000 tensors has 33 MB, most of them parameters and recipes, which the hub stores and
 * serves but does not use. Quotes in a string are escaped, so none of these marks can be part of a name.
 */
const marks = ['"parameters":[', '],"recipes":[', ']},"baseline":{'] as const;

/** The JSON text of an event, put together from its parts. Reading for an outline drops most of a large model on the way. */
export class LongText {
  readonly #kept: string[] = [];
  /** Between the first and the last mark: left out of an outline once the last mark has come. */
  #left: string[] = [];
  /** The end of what has come: a mark may begin in it. */
  #end = '';
  #passed: number;

  /** @param isOutline leaves out the parameters and recipes of a model */
  constructor(isOutline: boolean) {
    this.#passed = isOutline ? 0 : marks.length;
  }

  add(part: string): void {
    let rest = this.#end + part;
    this.#end = '';
    for (let mark = marks[this.#passed]; mark !== undefined; mark = marks[this.#passed]) {
      const at = rest.indexOf(mark);
      if (at < 0) {
        const known = Math.max(0, rest.length - mark.length + 1);
        this.#end = rest.slice(known);
        rest = rest.slice(0, known);
        break;
      }
      if (mark === marks[2]) {
        this.#left = [];
        this.#kept.push(marks[1]);
        rest = rest.slice(at);
      } else {
        const after = at + mark.length;
        (this.#passed === 0 ? this.#kept : this.#left).push(rest.slice(0, after));
        rest = rest.slice(after);
      }
      this.#passed++;
    }
    const isWithin = this.#passed > 0 && this.#passed < marks.length;
    (isWithin ? this.#left : this.#kept).push(rest);
  }

  toString(): string {
    return [...this.#kept, ...this.#left, this.#end].join('');
  }
}
