/** How the memory that a hub may take is divided, in bytes. */
export interface MemoryPlan {
  /** The ceiling: what the process holds in all. */
  totalBytes: number;
  /** DuckDB: pages of its file, sorting, grouping. */
  storeBytes: number;
  /** Answers that are being made, together. */
  answerBytes: number;
  /** Where the process holds more than this, large reads go one at a time. */
  crowdedBytes: number;
}

/**
 * An eighth for DuckDB, which fills it and keeps it, and an eighth for answers. The rest is for the program itself (about
 * 150 MB), its runs, sockets and batches under way, and what allocators keep.
 */
export function planMemory(totalMb: number): MemoryPlan {
  const totalBytes = totalMb * 2 ** 20;
  return {
    totalBytes,
    storeBytes: totalBytes / 8,
    answerBytes: totalBytes / 8,
    crowdedBytes: 0.8 * totalBytes,
  };
}
