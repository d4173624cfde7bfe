/** The number of values of a tensor; 1 for a scalar. */
export const valuesOf = (shape: readonly number[]): number => shape.reduce((product, length) => product * length, 1);
