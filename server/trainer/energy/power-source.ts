/** Energy since a source was opened, in joules. */
export interface Energy {
  joules: number;
  /** Lower and upper bound. */
  low: number;
  high: number;
  /** The part of `joules` that a sensor measured. */
  measured: number;
}
export const noEnergy: Readonly<Energy> = { joules: 0, low: 0, high: 0, measured: 0 };

export function sumOf(parts: readonly Readonly<Energy>[]): Energy {
  const sum = { ...noEnergy };
  for (const part of parts) for (const name of energyParts) sum[name] += part[name];
  return sum;
}
export const energyParts = ['joules', 'low', 'high', 'measured'] as const;

/** A source of the power of a part of the machine. It receives the use of the machine, one interval after another. */
export interface PowerSource {
  /** Its measured and its modelled parts, for people, e.g. `CPU package by RAPL`. */
  readonly measured: readonly string[];
  readonly modelled: readonly string[];
  /** Adds the energy of the interval that ends now. */
  advance(use: MachineUse): void;
  readonly energy: Readonly<Energy>;
  close(): void;
}

/** A source, or the reason why there is none, for people. */
export type Opened = { source: PowerSource } | { unavailable: string };

/** The use of the trainer and its machine in an interval. */
export interface MachineUse {
  seconds: number;
  /** CPU time of this process, all threads, in core seconds. */
  processSeconds: number;
  /** CPU time of all processes of the machine; at least `processSeconds`. */
  busySeconds: number;
  /** Idle core seconds. */
  idleSeconds: number;
  /** Memory of this process, in GB (10^9 bytes). */
  residentGb: number;
}

/** The trainer's share of the machine's work, by which the power that all cores share is divided. */
export const shareOf = ({ processSeconds, busySeconds }: MachineUse): number =>
  busySeconds > 0 ? processSeconds / busySeconds : 0;
