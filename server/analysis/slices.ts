/** Entries of a slice: work on each series in one takes well under a millisecond. */
const sliceLength = 500;

/** Cuts entries into short lists, between which a caller may yield the event loop. */
export function* inSlices<T>(entries: Iterable<T>): Generator<T[]> {
  let slice: T[] = [];
  for (const entry of entries) {
    slice.push(entry);
    if (slice.length < sliceLength) continue;
    yield slice;
    slice = [];
  }
  if (slice.length > 0) yield slice;
}
