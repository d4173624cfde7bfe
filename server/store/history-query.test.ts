import { expect, it } from 'vitest';
import { historyQuery, lastPointsQuery, lengthsQuery, windowsQuery } from './history-query.js';

const queries = (ids: readonly number[]): string[] =>
  [
    historyQuery(ids, { maxPoints: 5 }, 10, 10),
    windowsQuery(ids, {}),
    lengthsQuery(ids, {}, 10),
    lastPointsQuery(ids, {}, { afterSeq: 0, lastSeq: 10 }),
  ].map(({ sql }) => sql);

it('the SQL for 50,000 neighbouring series names none of them but the first and the last', () => {
  const ids = Array.from({ length: 50_000 }, (_, i) => 50_006 - i);
  for (const sql of queries(ids)) {
    expect(sql).toContain('series_id BETWEEN 7 AND 50006');
    expect(sql.length).toBeLessThan(5000);
  }
});
it('series of other runs in between are left out', () => {
  for (const sql of queries([9, 7, 12]))
    expect(sql).toContain('series_id IN (9, 7, 12) AND series_id BETWEEN 7 AND 12');
});
