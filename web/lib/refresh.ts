/**
 * Fetches again and again, each time `pauseMs` after the answer before: a hub that takes longer than that to answer is
 * waited for, and its answer counts.
 * @param once whether one answer is enough
 * @returns ends it
 */
export function refresh<T>(
  fetch: () => Promise<T>,
  apply: (answer: T) => void,
  pauseMs: number,
  once: boolean,
): () => void {
  let isOver = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const next = async (): Promise<void> => {
    try {
      const answer = await fetch();
      if (!isOver) apply(answer);
    } catch {
      // What was shown stays: the connection's state, always in sight, tells of a hub that is gone.
    }
    if (!isOver && !once) timer = setTimeout(() => void next(), pauseMs);
  };
  void next();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
