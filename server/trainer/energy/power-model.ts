import { noEnergy, shareOf, type Energy, type MachineUse, type PowerSource } from './power-source.js';

/*
 * What is taken where nothing can be measured. The central values are those of Cloud Carbon Footprint
 * (cloudcarbonfootprint.org/docs/methodology: averages over server processors from SPECpower results, and memory from
 * two makers' data sheets). The bounds are its lowest and highest processor, and for a busy core the 12 W that Green
 * Algorithms (doi.org/10.1002/advs.202100707) takes for an unknown one, which is higher. See docs/energy.md.
 */

/** Watts of a core, or of a hardware thread where a core has two, that is busy all the time. */
export const busyCoreWatts = { low: 1.69, central: 3.5, high: 12 };
/** Watts of one in which nothing runs. */
export const idleCoreWatts = { central: 0.74, high: 3.04 };
/** How far a figure for one's own machine may be off. */
const givenMargin = { low: 0.8, high: 1.25 };
/** Watts a GB of memory; that it may be half or twice as much is this project's own margin. */
export const memoryWattsPerGb = { low: 0.196, central: 0.392, high: 0.784 };

abstract class Model implements PowerSource {
  readonly measured: readonly string[] = [];
  abstract readonly modelled: readonly string[];
  readonly energy: Energy = { ...noEnergy };

  abstract advance(use: MachineUse): void;
  close(): void {}

  protected add(low: number, central: number, high: number): void {
    this.energy.joules += central;
    this.energy.low += low;
    this.energy.high += high;
  }
}

/**
 * The CPU by its use, linear between idle and busy: the trainer's own CPU time at the watts of a busy core, and its
 * share of the power of idle cores, by its part in all CPU time. At least no idle core counts, at most all of them do.
 */
export class CpuModel extends Model {
  readonly modelled: readonly string[];
  readonly #busy: typeof busyCoreWatts;
  readonly #idle: typeof idleCoreWatts;

  /** @param wattsPerCore of one busy core of this machine, where somebody knows; idle ones take their usual part of it */
  constructor(wattsPerCore: number | null = null) {
    super();
    const watts = wattsPerCore ?? busyCoreWatts.central;
    const idle = (watts * idleCoreWatts.central) / busyCoreWatts.central;
    this.#busy =
      wattsPerCore === null
        ? busyCoreWatts
        : { low: watts * givenMargin.low, central: watts, high: watts * givenMargin.high };
    this.#idle = wattsPerCore === null ? idleCoreWatts : { central: idle, high: idle * givenMargin.high };
    this.modelled = [`CPU time at ${watts} W a busy core`];
  }

  advance(use: MachineUse): void {
    const { processSeconds, idleSeconds } = use;
    this.add(
      processSeconds * this.#busy.low,
      processSeconds * this.#busy.central + shareOf(use) * idleSeconds * this.#idle.central,
      processSeconds * this.#busy.high + idleSeconds * this.#idle.high,
    );
  }
}

/** The memory that the trainer holds, by its size. */
export class MemoryModel extends Model {
  readonly modelled = [`memory at ${memoryWattsPerGb.central} W/GB`];

  advance({ seconds, residentGb }: MachineUse): void {
    const { low, central, high } = memoryWattsPerGb;
    const held = seconds * residentGb;
    this.add(held * low, held * central, held * high);
  }
}
