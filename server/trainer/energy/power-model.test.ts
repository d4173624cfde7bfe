import { describe, expect, it } from 'vitest';
import { CpuModel, MemoryModel } from './power-model.js';
import type { MachineUse } from './power-source.js';

/** Ten seconds on four cores: the trainer kept one and a half busy, another process half a core. */
const use: MachineUse = { seconds: 10, processSeconds: 15, busySeconds: 20, idleSeconds: 20, residentGb: 2.5 };

describe('the power model', () => {
  it('takes CPU time at the watts of a busy core and the share of idle cores, by hand', () => {
    const model = new CpuModel();
    model.advance(use);
    // Busy: 15 core seconds x 3.5 W. Idle: 20 core seconds x 0.74 W, of which the trainer's share is 15/20.
    expect(model.energy.joules).toBeCloseTo(52.5 + 11.1, 10);
    // Lower bound: the most economical core and no idle one. Upper bound: an unknown core's 12 W and all idle cores at
    // 3.04 W.
    expect(model.energy.low).toBeCloseTo(25.35, 10);
    expect(model.energy.high).toBeCloseTo(180 + 60.8, 10);
    expect(model.energy.measured).toBe(0);
    model.advance(use);
    expect(model.energy.joules).toBeCloseTo(127.2, 10);
  });

  it('takes given watts of the machine with narrower bounds', () => {
    const model = new CpuModel(7);
    model.advance(use);
    // Twice the usual core, so an idle one takes twice 0.74 W.
    expect(model.energy.joules).toBeCloseTo(105 + 22.2, 10);
    expect(model.energy.low).toBeCloseTo(84, 10);
    expect(model.energy.high).toBeCloseTo(131.25 + 37, 10);
    expect(model.modelled).toEqual(['CPU time at 7 W a busy core']);
  });

  it('takes nothing if only other processes run', () => {
    const model = new CpuModel();
    model.advance({ ...use, processSeconds: 0, busySeconds: 0, idleSeconds: 40 });
    expect(model.energy).toMatchObject({ joules: 0, low: 0 });
  });

  it('takes memory by its size', () => {
    const model = new MemoryModel();
    model.advance(use);
    // 2.5 GB x 0.392 W/GB x 10 s.
    expect(model.energy).toEqual({ joules: 9.8, low: 4.9, high: 19.6, measured: 0 });
  });
});
