import { noEnergy, shareOf, type Energy, type MachineUse, type PowerSource } from './power-source.js';

/*
 * The power model for machines without sensors. The central values come from Cloud Carbon Footprint
 * (cloudcarbonfootprint.org/docs/methodology: averages over server processors from SPECpower results, and memory from
 * two makers' data sheets). The bounds are its lowest and highest processor; for a busy core the upper bound is the
 * higher 12 W of Green Algorithms (doi.org/10.1002/advs.202100707) for an unknown core. See docs/energy.md.
 */

/** Watts of a core that is always busy, or of a hardware thread on cores with two. */
export const busyCoreWatts = { low: 1.69, central: 3.5, high: 12 };
/** Watts of an idle core or hardware thread. */
export const idleCoreWatts = { central: 0.74, high: 3.04 };
/** The margin of a figure that a person gives for this machine. */
const givenMargin = { low: 0.8, high: 1.25 };
/** Watts per GB of memory. The margin of half to twice as much is this project's own. */
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
 * The CPU's power, linear between idle and busy: the trainer's CPU time at the watts of a busy core, plus its share of
 * idle cores by its share of all CPU time. The lower bound counts no idle core, the upper bound all of them.
 */
export class CpuModel extends Model {
  readonly modelled: readonly string[];
  readonly #busy: typeof busyCoreWatts;
  readonly #idle: typeof idleCoreWatts;

  /** @param wattsPerCore of one busy core of this machine, if known; idle cores take their usual share of it */
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

/** The power of the trainer's memory, by its size. */
export class MemoryModel extends Model {
  readonly modelled = [`memory at ${memoryWattsPerGb.central} W/GB`];

  advance({ seconds, residentGb }: MachineUse): void {
    const { low, central, high } = memoryWattsPerGb;
    const held = seconds * residentGb;
    this.add(held * low, held * central, held * high);
  }
}
