import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { EnergyBasis, type EnergySettings } from '@plumbline/shared/energy';
import { EnergyMeter } from './energy-meter.js';
import { MachineClock } from './machine-clock.js';
import { CpuModel, MemoryModel } from './power-model.js';
import type { MachineUse } from './power-source.js';

const settings: EnergySettings = { gridIntensity: 360, powerUsageEffectiveness: 1.5, wattsPerCore: null };
/** A minute of one busy core and nothing else. */
const minute: MachineUse = { seconds: 60, processSeconds: 60, busySeconds: 60, idleSeconds: 0, residentGb: 1 };

describe('the energy meter', () => {
  let meter: EnergyMeter | undefined;
  afterEach(() => {
    meter?.close();
    vi.useRealTimers();
  });
  /** Each reading adds a minute of use; time advances only by `pass`. */
  function metered(): EnergyMeter {
    vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] });
    return (meter = new EnergyMeter(settings, [new CpuModel(), new MemoryModel()], [], { lap: () => minute }));
  }
  const pass = (milliseconds: number): void => void vi.advanceTimersByTime(milliseconds);

  it('adds the sources, applies the power usage effectiveness, and converts joules into grams', () => {
    const of = metered();
    pass(500);
    const told = of.now();
    // CPU 60 s x 3.5 W, memory 60 s x 0.392 W; times 1.5.
    expect(told['energy/joules']).toBeCloseTo(1.5 * 233.52, 8);
    expect(told['energy/joules_low']).toBeCloseTo(1.5 * (60 * 1.69 + 60 * 0.196), 8);
    expect(told['energy/joules_high']).toBeCloseTo(1.5 * (60 * 12 + 60 * 0.784), 8);
    // 360 g a kWh is 0.1 g a kJ.
    expect(told['energy/co2_grams']).toBeCloseTo((1.5 * 233.52) / 10_000, 8);
    expect(told['energy/measured_percent']).toBe(0);
  });

  it('reports for steps about once a second, and for probes always', () => {
    const of = metered();
    expect(of.due()).not.toEqual({});
    pass(900);
    expect(of.due()).toEqual({});
    pass(200);
    expect(of.due()).not.toEqual({});
    pass(200);
    expect(of.now()).not.toEqual({});
    pass(900);
    expect(of.due()).toEqual({});
  });

  it('measures on while nothing is reported, as in a pause', () => {
    const of = metered();
    pass(10_000);
    expect(of.now()['energy/joules']).toBeCloseTo(10 * 1.5 * 233.52, 6);
  });

  it('counts a branch from its own zero and says so', () => {
    const of = metered();
    pass(3_000);
    of.restart();
    expect(of.now()).toMatchObject({ 'energy/joules': 0, 'energy/co2_grams': 0 });
    pass(1_000);
    expect(of.now()['energy/joules']).toBeCloseTo(1.5 * 233.52, 8);
    expect(of.basis(false).notes).toEqual([]);
    expect(of.basis(true).notes).toEqual(['A branch counts from its own start.']);
  });

  it('measures what it can, models the rest, and says which is which', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'plumbline-meter-'));
    const file = join(folder, 'nvidia-smi');
    writeFileSync(
      file,
      `#!/bin/sh\ncase "$1" in --query-compute*) exit 0;; esac\necho "2026/03/01 12:00:00.000, 0, 100.00"\nwhile [ -e ${file} ]; do sleep 0.02; done\n`,
    );
    chmodSync(file, 0o755);
    const path = process.env['PATH'];
    process.env['PATH'] = `${folder}:${path}`;
    try {
      meter = await EnergyMeter.open({ settings, gpu: 'nvidia', raplFolder: folder });
      const basis = EnergyBasis.parse(meter.basis(false));
      expect(basis).toEqual({
        measured: ['GPU 0 by nvidia-smi'],
        modelled: ['CPU time at 3.5 W a busy core', 'memory at 0.392 W/GB'],
        notes: [expect.stringContaining('no RAPL sensors')],
        gridIntensity: 360,
        powerUsageEffectiveness: 1.5,
      });
      await new Promise((resolve) => setTimeout(resolve, 150));
      const told = meter.now();
      expect(told['energy/measured_percent']).toBeGreaterThan(0);
      expect(told['energy/measured_percent']).toBeLessThan(100);
    } finally {
      process.env['PATH'] = path;
      rmSync(folder, { recursive: true });
    }
  });

  it('truncates the message of a failing program', () => {
    meter = new EnergyMeter(settings, [], [`nvidia-smi failed: ${'x'.repeat(5000)}`]);
    expect(EnergyBasis.safeParse(meter.basis(true)).success).toBe(true);
  });

  it('says that an unreadable GPU is left out', async () => {
    meter = await EnergyMeter.open({ settings, gpu: 'other' });
    expect(meter.basis(false).notes).toContain("The GPU's energy is left out: only that of NVIDIA GPUs can be read.");
  });
});

describe('the machine’s clock', () => {
  it('reads CPU time of this process, which is part of the machine’s', async () => {
    const clock = new MachineClock();
    const from = performance.now();
    while (performance.now() - from < 300);
    const { seconds, processSeconds, busySeconds, idleSeconds, residentGb } = clock.lap();
    expect(seconds).toBeGreaterThanOrEqual(0.3);
    expect(processSeconds).toBeGreaterThan(0);
    expect(busySeconds).toBeGreaterThanOrEqual(processSeconds);
    expect(idleSeconds).toBeGreaterThanOrEqual(0);
    expect(residentGb).toBeGreaterThan(0.01);
    expect(residentGb).toBeLessThan(100);
  });
});
