import { joulesPerKilowattHour, type EnergyBasis, type EnergySettings } from '@plumbline/shared/energy';
import { maxBasisLength } from '@plumbline/shared/limits';
import { metrics } from '@plumbline/shared/metric';
import { MachineClock } from './machine-clock.js';
import { NvidiaPower } from './nvidia.js';
import { CpuModel, MemoryModel } from './power-model.js';
import { energyParts, noEnergy, sumOf, type Energy, type MachineUse, type PowerSource } from './power-source.js';
import { Rapl } from './rapl.js';

/** What the training loop asks of energy: metrics by name, cumulative. */
export interface EnergyReadings {
  /** For a step: the metrics when they were last told a second ago or longer, else none. */
  due(): Record<string, number>;
  /** For a probe: the metrics as of now. */
  now(): Record<string, number>;
}

export interface MeterOptions {
  settings: EnergySettings;
  /** What the backend computes on beside the CPU. */
  gpu: 'none' | 'nvidia' | 'other';
  raplFolder?: string;
}

const periodMs = 1000;
/** Below that the machine's counters, which move in ticks of 10 ms, say too little. */
const shortestLapMs = 100;

/**
 * Energy and emissions of this process: measured where the machine lets itself be measured, else modelled, with what it
 * is at least and at most. The bounds of the parts are added: they may well all be off to the same side.
 */
export class EnergyMeter implements EnergyReadings {
  readonly #timer = setInterval(() => this.#sample(), periodMs).unref();
  #sampledMs = performance.now();
  #toldMs = -Infinity;
  /** Of this process, and how much of it was before the run in hand. */
  #total: Energy = { ...noEnergy };
  #zero: Energy = { ...noEnergy };

  constructor(
    private readonly settings: EnergySettings,
    private readonly sources: readonly PowerSource[],
    private readonly notes: readonly string[] = [],
    private readonly clock: { lap(): MachineUse } = new MachineClock(),
  ) {}

  /** Finds out what can be measured here; waits for the first word of nvidia-smi where an NVIDIA GPU is in use. */
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

  /** What the metrics rest on. @param ofBranch the run in hand is a branch, whose energy counts from its own start */
  basis(ofBranch: boolean): EnergyBasis {
    const { gridIntensity, powerUsageEffectiveness } = this.settings;
    // A program's error message may be of any length.
    const cut = (sentence: string): string => sentence.slice(0, maxBasisLength);
    return {
      measured: this.sources.flatMap(({ measured }) => measured.map(cut)),
      modelled: this.sources.flatMap(({ modelled }) => modelled.map(cut)),
      notes: [...this.notes, ...(ofBranch ? ['A branch counts from its own start.'] : [])].map(cut),
      gridIntensity,
      powerUsageEffectiveness,
    };
  }

  /** Counts from 0 again: for a branch that this process goes on with. */
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
    // What a GPU was taken to use since its last sample may turn out less: a sum that is told does not go back.
    for (const part of energyParts) this.#total[part] = Math.max(this.#total[part], now[part]);
  }
}
