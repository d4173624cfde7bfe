import { describe, expect, it } from 'vitest';
import { faultKinds } from './fault-kinds.js';
import { FaultRun } from './fault-run.js';

/** A dozen of what `npm run -s test:faults` does by the hundred; a failure names the seed to do it again with. */
describe('a cluster that things go wrong in', () => {
  it('loses nothing, stores nothing twice, applies no command twice', async () => {
    const seed = 7;
    const { faults, acknowledged, commands, differences } = await FaultRun.run({
      ...{ seed, faults: 12, trainers: 3, kinds: faultKinds, log: () => undefined },
    });
    expect({ seed, ...differences }).toEqual({ seed, lost: [], duplicated: [], appliedTwice: [], other: [] });
    expect(faults).toBe(12);
    expect(acknowledged).toBeGreaterThan(100);
    expect(commands).toBeGreaterThan(0);
  });
});
