/**
 * Fetches repeatedly, each time `pauseMs` after the last answer. A hub that takes longer to answer is waited for, and its
 * answer counts.
 * @param once whether one answer is enough; a failure is none
 * @returns stops it
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
      if (once) return;
    } catch {
      // The page keeps the last data. The connection's state, always visible, shows that the hub is away.
    }
    if (!isOver) timer = setTimeout(() => void next(), pauseMs);
  };
  void next();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
