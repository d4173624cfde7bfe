import type { Caller } from '../access/caller.js';
import { newLink } from '../access/how-to-control.js';
import { namesOfPrefix, watchLimits } from '../access/limits.js';
import { Refusal } from '../run/refusal.js';
import type { SeriesFilter } from '../run/series-filter.js';

/** A choice of series of one run. */
export interface Selection {
  /** The same for the same series of the same run. */
  key: string;
  /** How many names it counts as, see `namesIn`. */
  names: number;
}

/** How many names a filter counts as. */
export const namesIn = ({ names, beginnings }: SeriesFilter): number => names.size + namesOfPrefix * beginnings.length;

/** The selections of one caller: the connections that watch each, and the names in all of them. */
class Held {
  readonly connections = new Map<string, number>();
  names = 0;
}
interface Sums {
  selections: number;
  names: number;
}

/**
 * Bounds the different selections of series that callers watch: the hub applies each to every event.
 * Connections of one caller that watch the same count once.
 */
export class WatchShares {
  readonly #held: Record<Caller['kind'], Map<string, Held>> = {
    address: new Map(),
    session: new Map(),
    trainer: new Map(),
  };
  readonly #sums: Record<Caller['kind'], Sums> = {
    address: { selections: 0, names: 0 },
    session: { selections: 0, names: 0 },
    trainer: { selections: 0, names: 0 },
  };

  /**
   * A connection of the caller watches this selection, and no longer `instead`. A caller may always watch one selection.
   * @throws Refusal `rate_limited` where the caller, or all of its kind, watch too much; then nothing has changed
   */
  take({ kind, name }: Pick<Caller, 'kind' | 'name'>, selection: Selection, instead: Selection | null): void {
    const held = this.#held[kind].get(name) ?? new Held();
    const isNew = !held.connections.has(selection.key);
    const freed = instead && held.connections.get(instead.key) === 1 ? instead : null;
    const before = {
      selections: held.connections.size - Number(freed !== null),
      names: held.names - (freed?.names ?? 0),
    };
    const { perCaller, total } = watchLimits[kind];
    if (isNew && before.selections > 0 && isAbove(perCaller, before, selection))
      throw new Refusal(
        'rate_limited',
        `At most ${perCaller.selections} different selections of series, with ${perCaller.names} names in all, are ` +
          `watched at one time from ${whose[kind]}. Close other pages, or watch the same series in each.`,
      );
    const ofAll = this.#sums[kind];
    const rest = { selections: ofAll.selections - Number(freed !== null), names: ofAll.names - (freed?.names ?? 0) };
    if (isNew && isAbove(total, rest, selection))
      throw new Refusal(
        'rate_limited',
        `Others watch ${rest.selections} different selections of series, the most that the hub serves at one time. ${remedy[kind]}`,
      );
    if (isNew) this.#count(kind, held, 1, selection);
    held.connections.set(selection.key, (held.connections.get(selection.key) ?? 0) + 1);
    this.#held[kind].set(name, held);
    if (instead) this.release({ kind, name }, instead);
  }

  /** A connection of the caller no longer watches this selection. */
  release({ kind, name }: Pick<Caller, 'kind' | 'name'>, selection: Selection): void {
    const held = this.#held[kind].get(name);
    const connections = held?.connections.get(selection.key);
    if (!held || connections === undefined) return;
    if (connections > 1) return void held.connections.set(selection.key, connections - 1);
    held.connections.delete(selection.key);
    this.#count(kind, held, -1, selection);
    if (held.connections.size === 0) this.#held[kind].delete(name);
  }

  #count(kind: Caller['kind'], held: Held, sign: 1 | -1, { names }: Selection): void {
    held.names += sign * names;
    this.#sums[kind].selections += sign;
    this.#sums[kind].names += sign * names;
  }
}

const isAbove = (limit: Sums, before: Sums, { names }: Selection): boolean =>
  before.selections + 1 > limit.selections || before.names + names > limit.names;

const whose: Record<Caller['kind'], string> = {
  address: 'one address without a session',
  session: 'one session',
  trainer: 'one address with the trainer token',
};
const remedy: Record<Caller['kind'], string> = {
  address: `Try again later, or open a session: ${newLink}`,
  session: 'Try again later.',
  trainer: 'Try again later.',
};
