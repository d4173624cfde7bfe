import { expect, it } from 'vitest';
import { RunId } from '@plumbline/shared/run';
import { DeletedIds } from './deleted-ids.js';

const one = (name: string, createdMs = 1) => ({ runId: RunId.parse(`run-${name}`), createdMs });

it('knows the runs that were deleted last, each by when it was created', () => {
  const ids = new DeletedIds(2);
  for (const name of ['a', 'b', 'a', 'c']) ids.add(one(name));
  expect(ids.size).toBe(2);
  expect([ids.has(one('a')), ids.has(one('b')), ids.has(one('c'))]).toEqual([true, false, true]);
  expect(ids.has(one('a', 2))).toBe(false);
  ids.delete(one('a').runId);
  expect(ids.has(one('a'))).toBe(false);
});
