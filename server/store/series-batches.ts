/** Splits a list into batches whose sizes sum up to at most `most`; a larger entry is a batch of its own. */
export function inBatches<T>(entries: readonly T[], sizeOf: (entry: T) => number, most: number): T[][] {
  const batches: T[][] = [];
  let size = Infinity;
  for (const entry of entries) {
    if (size + sizeOf(entry) > most) {
      batches.push([]);
      size = 0;
    }
    batches.at(-1)!.push(entry);
    size += sizeOf(entry);
  }
  return batches;
}
