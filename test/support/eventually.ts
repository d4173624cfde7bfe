/** Far longer than any expected wait, because the machine may be busy. */
const limitMs = 30_000;

/** Asks every 20 ms until there is an answer. @throws Error after 30 s */
export async function eventually<T>(ask: () => Promise<T | null> | T | null): Promise<T> {
  const endMs = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (Date.now() > endMs) throw new Error(`Timed out after ${limitMs / 1000} s.`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
