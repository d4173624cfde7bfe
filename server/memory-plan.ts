/** Division of a hub's memory, in bytes. */
export interface MemoryPlan {
  /** Limit of the whole process. */
  totalBytes: number;
  /** DuckDB: pages of its file, sorting, grouping. */
  storeBytes: number;
  /** All answers under construction together. */
  answerBytes: number;
  /** Above this size of the process, large reads run one at a time. */
  crowdedBytes: number;
}

/**
 * An eighth for DuckDB, which fills and keeps it, and an eighth for answers. The rest is for the program itself (about
 * 150 MB), its runs, sockets and pending batches, and the allocators' overhead.
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
