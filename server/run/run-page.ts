import { isMeasured } from '@plumbline/shared/metric';
import { z } from 'zod';
import { hasEnded, RunId, type RunSummary } from '@plumbline/shared/run';
import type { RunListQuery, RunSort } from '@plumbline/shared/run-list';
import { Refusal } from './refusal.js';

/** The sort key of a run: a number or a text, one type per sort. Null comes last in either order. */
type Key = number | string | null;

/** The end of a page. It stays valid when runs appear or disappear. */
const Cursor = z.tuple([z.string(), z.union([z.number(), z.string(), z.null()]), RunId]);

export interface RunPage {
  runs: RunSummary[];
  next: string | null;
  total: number;
  going: number;
}

/** The runs that match the filters of a query. */
export function filterRuns(
  all: readonly RunSummary[],
  { state, text, tag, run: runIds, family }: RunListQuery,
): RunSummary[] {
  const sought = text?.trim().toLowerCase() ?? '';
  const related = family && familyOf(family, all);
  return all.filter(
    (run) =>
      (!state || state.includes(run.state)) &&
      (tag === undefined || run.description.tags.includes(tag)) &&
      (!runIds || runIds.includes(run.runId)) &&
      (!related || related.has(run.runId)) &&
      (sought === '' ||
        run.description.name.toLowerCase().includes(sought) ||
        run.runId.toLowerCase().includes(sought)),
  );
}

/**
 * A page of runs.
 * @param lastValue the last value of a headline series of a run
 * @throws Refusal `invalid` for a cursor that is not of this order
 */
export function pageOf(
  runs: readonly RunSummary[],
  { sort, order, limit, cursor }: RunListQuery,
  lastValue: (run: RunSummary, series: string) => number | undefined,
): RunPage {
  const sign = order === 'asc' ? 1 : -1;
  const name = `${sort} ${order}`;
  const after = cursor === undefined ? null : parseCursor(cursor, name);
  const keyed = runs
    .map((run) => ({ run, key: keyOf(run, sort, lastValue), runId: run.runId }))
    .sort((a, b) => compare(a, b, sign));
  // Existing runs are neither skipped nor repeated.
  const from = after === null ? 0 : keyed.findIndex((entry) => compare(entry, after, sign) > 0);
  const page = from < 0 ? [] : keyed.slice(from, from + limit);
  const last = page.at(-1);
  const isLast = from < 0 || from + limit >= keyed.length;
  return {
    runs: page.map(({ run }) => run),
    next: isLast || !last ? null : Buffer.from(JSON.stringify([name, last.key, last.runId])).toString('base64url'),
    total: runs.length,
    going: runs.filter(({ state }) => !hasEnded(state)).length,
  };
}

/** Sorts running runs after all ended ones, the newest last. */
const goingBehindMs = 1e15;

function keyOf(run: RunSummary, sort: RunSort, lastValue: Parameters<typeof pageOf>[2]): Key {
  switch (sort) {
    case 'activity':
      return hasEnded(run.state) ? (run.endedMs ?? run.startedMs ?? run.createdMs) : goingBehindMs + run.createdMs;
    case 'created':
      return run.createdMs;
    case 'name':
      return run.description.name.toLowerCase();
    case 'state':
      return run.state;
    case 'last_step':
      return run.lastStep;
    default: {
      const value = lastValue(run, sort.slice('value:'.length));
      return value === undefined || !isMeasured(value) ? null : value;
    }
  }
}

function compare(a: { key: Key; runId: string }, b: { key: Key; runId: string }, sign: number): number {
  if ((a.key === null) !== (b.key === null)) return a.key === null ? 1 : -1;
  if (a.key !== b.key) return (a.key! < b.key! ? -1 : 1) * sign;
  return a.runId === b.runId ? 0 : (a.runId < b.runId ? -1 : 1) * sign;
}

function parseCursor(text: string, name: string): { key: Key; runId: string } {
  try {
    const [of, key, runId] = Cursor.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
    if (of === name) return { key, runId };
  } catch {
    // Refused below.
  }
  throw new Refusal('invalid', 'This cursor is not of a list in this order. Ask for the first page, without a cursor.');
}

/** The given runs, all their ancestors and all their descendants. */
function familyOf(some: readonly RunId[], all: readonly RunSummary[]): Set<RunId> {
  const byId = new Map(all.map((run) => [run.runId, run]));
  const branches = new Map<RunId, RunId[]>();
  for (const { runId, parent } of all)
    if (parent) branches.set(parent.runId, [...(branches.get(parent.runId) ?? []), runId]);
  const family = new Set<RunId>();
  for (const runId of some)
    for (let one = byId.get(runId); one && !family.has(one.runId);) {
      family.add(one.runId);
      one = one.parent ? byId.get(one.parent.runId) : undefined;
    }
  const below = new Set<RunId>(some);
  // The set grows during the iteration.
  for (const runId of below) {
    if (byId.has(runId)) family.add(runId);
    for (const branch of branches.get(runId) ?? []) below.add(branch);
  }
  return family;
}
