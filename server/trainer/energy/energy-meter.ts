import { joulesPerKilowattHour } from '@plumbline/shared/energy-words';
import type { EnergyBasis, EnergySettings } from '@plumbline/shared/energy';
import { maxBasisLength } from '@plumbline/shared/limits';
import { metrics } from '@plumbline/shared/metric';
import { MachineClock } from './machine-clock.js';
import { NvidiaPower } from './nvidia.js';
import { CpuModel, MemoryModel } from './power-model.js';
import { energyParts, noEnergy, sumOf, type Energy, type MachineUse, type PowerSource } from './power-source.js';
import { Rapl } from './rapl.js';

/** The energy readings of the training loop: cumulative metrics by name. */
export interface EnergyReadings {
  /** For a step: the metrics if the last ones are at least a second old, else none. */
  due(): Record<string, number>;
  /** For a probe: the metrics as of now. */
  now(): Record<string, number>;
}

export interface MeterOptions {
  settings: EnergySettings;
  /** The GPU of the backend, beside the CPU. */
  gpu: 'none' | 'nvidia' | 'other';
  raplFolder?: string;
}

const periodMs = 1000;
/** In less time the machine's counters, which move in ticks of 10 ms, are too coarse. */
const shortestLapMs = 100;

/**
 * Energy and emissions of this process: measured where the machine has sensors, else modelled, with a lower and an
 * upper bound. The bounds of the parts are added, because all parts may be off to the same side.
 */
export class EnergyMeter implements EnergyReadings {
  readonly #timer = setInterval(() => this.#sample(), periodMs).unref();
  #sampledMs = performance.now();
  #toldMs = -Infinity;
  /** The total of this process, and the part of it before the current run. */
  #total: Energy = { ...noEnergy };
  #zero: Energy = { ...noEnergy };

  constructor(
    private readonly settings: EnergySettings,
    private readonly sources: readonly PowerSource[],
    private readonly notes: readonly string[] = [],
    private readonly clock: { lap(): MachineUse } = new MachineClock(),
  ) {}

  /** Finds the sensors of this machine. Waits for the first line of nvidia-smi if an NVIDIA GPU is in use. */
  static async open({ settings, gpu, raplFolder }: MeterOptions): Promise<EnergyMeter> {
    const sources: PowerSource[] = [];
    const notes: string[] = [];
    if (gpu === 'nvidia') {
      const opened = await NvidiaPower.open();
      if ('source' in opened) sources.push(opened.source!);
      else notes.push(`The GPU's energy is left out: ${opened.unavailable}`);
    } else if (gpu === 'other') notes.push("The GPU's energy is left out: only that of NVIDIA GPUs can be read.");
    const rapl = Rapl.open(settings.wattsPerCore, raplFolder);
    if ('source' in rapl) sources.push(rapl.source!);
    else {
      sources.push(new CpuModel(settings.wattsPerCore));
      notes.push(rapl.unavailable);
    }
    if (!('source' in rapl) || !rapl.source!.hasMemory) sources.push(new MemoryModel());
    return new EnergyMeter(settings, sources, notes);
  }

  /** The basis of the metrics. @param ofBranch whether the run is a branch, whose energy counts from its own start */
  basis(ofBranch: boolean): EnergyBasis {
    const { gridIntensity, powerUsageEffectiveness } = this.settings;
    // A program's error message may have any length.
    const cut = (sentence: string): string => sentence.slice(0, maxBasisLength);
    return {
      measured: this.sources.flatMap(({ measured }) => measured.map(cut)),
      modelled: this.sources.flatMap(({ modelled }) => modelled.map(cut)),
      notes: [...this.notes, ...(ofBranch ? ['A branch counts from its own start.'] : [])].map(cut),
      gridIntensity,
      powerUsageEffectiveness,
    };
  }

  /** Starts again at 0, for a branch that continues in this process. */
  restart(): void {
    this.#sample();
    this.#zero = { ...this.#total };
    this.#toldMs = -Infinity;
  }

  due(): Record<string, number> {
    return performance.now() - this.#toldMs < periodMs ? {} : this.now();
  }

  now(): Record<string, number> {
    this.#sample();
    this.#toldMs = performance.now();
    const { gridIntensity, powerUsageEffectiveness } = this.settings;
    const since = (part: keyof Energy): number => (this.#total[part] - this.#zero[part]) * powerUsageEffectiveness;
    const joules = since('joules');
    return {
      [metrics.energyJoules]: joules,
      [metrics.energyJoulesLow]: since('low'),
      [metrics.energyJoulesHigh]: since('high'),
      [metrics.energyMeasured]: joules > 0 ? Math.min(100, (100 * since('measured')) / joules) : 0,
      [metrics.co2Grams]: (joules / joulesPerKilowattHour) * gridIntensity,
    };
  }

  close(): void {
    clearInterval(this.#timer);
    for (const source of this.sources) source.close();
  }

  #sample(): void {
    if (performance.now() - this.#sampledMs < shortestLapMs) return;
    this.#sampledMs = performance.now();
    const use = this.clock.lap();
    for (const source of this.sources) source.advance(use);
    const now = sumOf(this.sources.map(({ energy }) => energy));
    // The estimate for a GPU since its last sample may turn out too high; a reported sum never decreases.
    for (const part of energyParts) this.#total[part] = Math.max(this.#total[part], now[part]);
  }
}
