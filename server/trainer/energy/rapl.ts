import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CpuModel } from './power-model.js';
import { noEnergy, shareOf, type Energy, type MachineUse, type Opened, type PowerSource } from './power-source.js';

/** Margin for the sensors and the time between two reads; this project's own. */
const sensorMargin = 0.05;

interface Domain {
  /** `energy_uj`: microjoules, wraps to 0 after `range`. */
  path: string;
  range: number;
  last: number;
}

/**
 * Energy of the processor packages and of memory as the processor counts it (Running Average Power Limit, Intel and
 * AMD), from Linux's powercap files. Packages and `dram` are added. `core` and `uncore` are part of their package and
 * `psys` includes packages again, so these are left out.
 *
 * The counters cover the whole machine. The trainer's share is its share of all CPU time; the upper bound is
 * everything.
 */
export class Rapl implements PowerSource {
  readonly measured: readonly string[];
  readonly modelled: readonly string[] = [];
  /** Whether memory is measured. */
  readonly hasMemory: boolean;
  #energy: Energy = { ...noEnergy };
  /** The model that takes over when the sensors can no longer be read. */
  #instead: CpuModel | null = null;

  private constructor(
    private readonly domains: Domain[],
    packages: number,
    private readonly wattsPerCore: number | null,
  ) {
    this.hasMemory = domains.length > packages;
    this.measured = [`CPU${this.hasMemory ? ' and memory' : ''} by RAPL, the trainer’s share`];
  }

  /** @param wattsPerCore of the model that takes over if the sensors fail during a run */
  static open(wattsPerCore: number | null, folder = '/sys/class/powercap'): Opened & { source?: Rapl } {
    const zones = existsSync(folder) ? readdirSync(folder) : [];
    const named = (pattern: RegExp, name: RegExp): string[] =>
      zones.filter((zone) => pattern.test(zone) && name.test(textOf(join(folder, zone, 'name'))));
    try {
      const packages = named(/^intel-rapl:\d+$/, /^package/);
      if (packages.length === 0)
        return {
          unavailable: 'This machine has no RAPL sensors (most virtual machines and machines without Linux have none).',
        };
      const memory = named(/^intel-rapl:\d+:\d+$/, /^dram$/);
      const domains = [...packages, ...memory].map((zone): Domain => {
        const path = join(folder, zone, 'energy_uj');
        return { path, range: numberIn(join(folder, zone, 'max_energy_range_uj')), last: numberIn(path) };
      });
      return { source: new Rapl(domains, packages.length, wattsPerCore) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EACCES')
        return {
          unavailable: `RAPL may not be read: permission denied. An administrator can allow it: chmod a+r ${folder}/intel-rapl*/energy_uj.`,
        };
      return { unavailable: `RAPL could not be read: ${error instanceof Error ? error.message : String(error)}.` };
    }
  }

  get energy(): Energy {
    return this.#energy;
  }

  advance(use: MachineUse): void {
    if (!this.#instead) {
      try {
        this.#add(this.#joulesSince(), shareOf(use));
        return;
      } catch (error) {
        console.error('RAPL can no longer be read; from now on the CPU is modelled.', error);
        this.#instead = new CpuModel(this.wattsPerCore);
      }
    }
    const before = { ...this.#instead.energy };
    this.#instead.advance(use);
    for (const part of ['joules', 'low', 'high'] as const)
      this.#energy[part] += this.#instead.energy[part] - before[part];
  }

  close(): void {}

  #add(machine: number, share: number): void {
    const joules = machine * share;
    this.#energy.joules += joules;
    this.#energy.measured += joules;
    this.#energy.low += joules * (1 - sensorMargin);
    this.#energy.high += machine * (1 + sensorMargin);
  }

  #joulesSince(): number {
    const readings = this.domains.map(({ path }) => numberIn(path));
    let microjoules = 0;
    this.domains.forEach((domain, index) => {
      const now = readings[index]!;
      microjoules += now >= domain.last ? now - domain.last : now + domain.range - domain.last;
      domain.last = now;
    });
    return microjoules / 1e6;
  }
}

const textOf = (path: string): string => readFileSync(path, 'utf8').trim();

function numberIn(path: string): number {
  const value = Number(textOf(path));
  if (!Number.isFinite(value)) throw new Error(`${path} holds no number`);
  return value;
}
