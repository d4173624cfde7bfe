import type { Rng } from '@plumbline/shared/rng';
import { valuesOf } from '../weights/shape.js';
import type { ParameterShape } from './blueprint.js';

/**
 * The first values of a parameter that no file holds: ones (norms), zeros (biases), normal with this standard deviation,
 * or uniform within +-`uniform`.
 */
export type Start = 'ones' | 'zeros' | { normal: number } | { uniform: number };

/** Draws first values on the host, so that a seed gives the same model on every backend. @returns row by row */
export function startingValues(
  { shape, start }: Pick<ParameterShape, 'shape'> & { start: Start },
  rng: Rng,
): Float32Array {
  const values = new Float32Array(valuesOf(shape));
  if (start === 'zeros') return values;
  if (start === 'ones') return values.fill(1);
  const next = 'normal' in start ? () => rng.normal() * start.normal : () => (2 * rng.uniform() - 1) * start.uniform;
  return values.map(next);
}
