/** A choice of series: by names, and by prefixes that end in `*`. */
export class SeriesFilter {
  /** Equal for equal choices, in any order. */
  readonly key: string;
  /** Names that no prefix covers. */
  readonly names: ReadonlySet<string>;
  /** No prefix covers another. */
  readonly beginnings: readonly string[];

  constructor(asked: readonly string[]) {
    const beginnings = new Set(asked.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1)));
    this.beginnings = [...beginnings].filter((one) => ![...beginnings].some((other) => isCovered(one, other)));
    const names = asked.filter((name) => !name.endsWith('*') && !this.beginnings.some((one) => name.startsWith(one)));
    this.names = new Set(names);
    this.key = JSON.stringify([[...this.names].sort(), [...this.beginnings].sort()]);
  }

  /** Whether it chooses every series. */
  get hasAll(): boolean {
    return this.beginnings[0] === '';
  }

  has(name: string): boolean {
    return this.names.has(name) || this.beginnings.some((beginning) => name.startsWith(beginning));
  }
}

const isCovered = (beginning: string, other: string): boolean => other !== beginning && beginning.startsWith(other);
