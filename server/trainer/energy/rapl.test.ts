import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { MachineUse } from './power-source.js';
import { Rapl } from './rapl.js';

const use: MachineUse = { seconds: 1, processSeconds: 1, busySeconds: 1, idleSeconds: 1, residentGb: 1 };
const range = 262_143_328_850;

describe('RAPL', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'plumbline-rapl-'));
    chmodSync(folder, 0o755);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** One zone in the kernel's layout. */
  function zone(name: string, words: string, microjoules: number): void {
    mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, 'name'), `${words}\n`);
    writeFileSync(join(folder, name, 'max_energy_range_uj'), `${range}\n`);
    counts(name, microjoules);
  }
  const counts = (name: string, microjoules: number): void =>
    writeFileSync(join(folder, name, 'energy_uj'), `${microjoules}\n`);
  function opened(): Rapl {
    const result = Rapl.open(null, folder);
    if (!('source' in result)) throw new Error(result.unavailable);
    return result.source!;
  }

  it('adds packages and memory, each once', () => {
    for (const socket of [0, 1]) {
      zone(`intel-rapl:${socket}`, `package-${socket}`, 1_000_000);
      zone(`intel-rapl:${socket}:0`, 'core', 500_000);
      zone(`intel-rapl:${socket}:1`, 'dram', 200_000);
    }
    zone('intel-rapl:2', 'psys', 9_000_000);
    zone('intel-rapl-mmio:0', 'package-0', 1_000_000);
    mkdirSync(join(folder, 'intel-rapl'));
    const rapl = opened();
    for (const socket of [0, 1]) {
      counts(`intel-rapl:${socket}`, 11_000_000);
      counts(`intel-rapl:${socket}:0`, 8_500_000);
      counts(`intel-rapl:${socket}:1`, 1_700_000);
    }
    counts('intel-rapl:2', 99_000_000);
    counts('intel-rapl-mmio:0', 11_000_000);
    rapl.advance(use);
    expect(rapl.energy.joules).toBeCloseTo(2 * (10 + 1.5), 10);
    expect(rapl.energy.measured).toBe(rapl.energy.joules);
    expect(rapl.hasMemory).toBe(true);
    expect(rapl.measured).toEqual(['CPU and memory by RAPL, the trainer’s share']);
  });

  it('continues over the wrap of the counter', () => {
    zone('intel-rapl:0', 'package-0', range - 4_000_000);
    const rapl = opened();
    counts('intel-rapl:0', 3_000_000);
    rapl.advance(use);
    counts('intel-rapl:0', 5_000_000);
    rapl.advance(use);
    expect(rapl.energy.joules).toBeCloseTo(9, 10);
    expect(rapl.hasMemory).toBe(false);
  });

  it('takes the trainer’s share of a shared machine, with all of it as the upper bound', () => {
    zone('intel-rapl:0', 'package-0', 0);
    const rapl = opened();
    counts('intel-rapl:0', 40_000_000);
    rapl.advance({ ...use, processSeconds: 1, busySeconds: 4 });
    expect(rapl.energy.joules).toBeCloseTo(10, 10);
    expect(rapl.energy.low).toBeCloseTo(9.5, 10);
    expect(rapl.energy.high).toBeCloseTo(42, 10);
  });

  it('says that permission is missing, and how to get it', () => {
    zone('intel-rapl:0', 'package-0', 0);
    chmodSync(join(folder, 'intel-rapl:0', 'energy_uj'), 0o400);
    // Root may read everything, so another user runs this.
    const root = process.geteuid!() === 0;
    if (root) process.seteuid!(65534);
    else chmodSync(join(folder, 'intel-rapl:0', 'energy_uj'), 0);
    try {
      expect(Rapl.open(null, folder)).toEqual({
        unavailable: expect.stringMatching(/permission denied.*chmod a\+r .*energy_uj/),
      });
    } finally {
      if (root) process.seteuid!(0);
    }
  });

  it('says that there are no sensors, as in a virtual machine', () => {
    expect(Rapl.open(null, join(folder, 'none'))).toEqual({ unavailable: expect.stringContaining('no RAPL sensors') });
    mkdirSync(join(folder, 'intel-rapl'));
    expect(Rapl.open(null, folder)).toEqual({ unavailable: expect.stringContaining('no RAPL sensors') });
  });

  it('continues with the model, and says so, when the sensors fail during a run', () => {
    zone('intel-rapl:0', 'package-0', 0);
    const rapl = opened();
    counts('intel-rapl:0', 20_000_000);
    rapl.advance(use);
    rmSync(join(folder, 'intel-rapl:0', 'energy_uj'));
    const said = vi.spyOn(console, 'error').mockImplementation(() => {});
    rapl.advance(use);
    rapl.advance(use);
    expect(said).toHaveBeenCalledTimes(1);
    said.mockRestore();
    // One busy and one idle core second each: 3.5 J and 0.74 J.
    expect(rapl.energy.joules).toBeCloseTo(20 + 2 * 4.24, 10);
    expect(rapl.energy.measured).toBeCloseTo(20, 10);
  });
});
