/** Energy since a source was opened, in joules. */
export interface Energy {
  joules: number;
  /** What it is at least and at most. */
  low: number;
  high: number;
  /** How much of `joules` a sensor measured. */
  measured: number;
}
export const noEnergy: Readonly<Energy> = { joules: 0, low: 0, high: 0, measured: 0 };

export function sumOf(parts: readonly Readonly<Energy>[]): Energy {
  const sum = { ...noEnergy };
  for (const part of parts) for (const name of energyParts) sum[name] += part[name];
  return sum;
}
export const energyParts = ['joules', 'low', 'high', 'measured'] as const;

/** One way to know what a part of the machine takes. It is told how the machine was used, a stretch of time after the other. */
export interface PowerSource {
  /** What it knows, for people, e.g. `CPU package by RAPL`: parts that are measured, and parts that are modelled. */
  readonly measured: readonly string[];
  readonly modelled: readonly string[];
  /** Adds what the stretch took that ends now. */
  advance(use: MachineUse): void;
  readonly energy: Readonly<Energy>;
  close(): void;
}

/** A source, or why there is none, in words for people. */
export type Opened = { source: PowerSource } | { unavailable: string };

/** How the trainer and its machine were used for a stretch of time. */
export interface MachineUse {
  seconds: number;
  /** CPU time of this process, all threads, in core seconds. */
  processSeconds: number;
  /** CPU time of all processes of the machine, never below `processSeconds`. */
  busySeconds: number;
  /** Core seconds in which nothing ran. */
  idleSeconds: number;
  /** Memory of this process, in GB (10^9 bytes). */
  residentGb: number;
}

/** The trainer's part of what the machine did: what all cores share is divided by it. */
export const shareOf = ({ processSeconds, busySeconds }: MachineUse): number =>
  busySeconds > 0 ? processSeconds / busySeconds : 0;
