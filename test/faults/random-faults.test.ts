import { describe, expect, it } from 'vitest';
import { faultKinds } from './fault-kinds.js';
import { FaultRun } from './fault-run.js';

/** A dozen random faults; `npm run -s test:faults` runs hundreds. A failure names its seed. */
describe('a cluster with random faults', () => {
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
