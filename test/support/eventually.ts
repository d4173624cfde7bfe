/** Asks every 20 ms until there is an answer. @throws Error after 10 s */
export async function eventually<T>(ask: () => Promise<T | null> | T | null): Promise<T> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const answer = await ask();
    if (answer !== null) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('Waited 10 s in vain.');
}
