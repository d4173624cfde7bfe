/** Of letters that a person types: the longest metric name. */
const longestMisspelling = 200;

/**
 * The name that was probably meant: one that ends in what was typed (`loss`: `train/loss`), else the one that the fewest
 * changed letters lead to (Levenshtein 1966), if they are few; null where there is none.
 */
export function closestName(typed: string, names: readonly string[]): string | null {
  // A longer one is no misspelling, and would take long.
  if (typed.length > longestMisspelling) return null;
  const ending = names.find((name) => typed !== '' && name.endsWith(`/${typed}`));
  if (ending !== undefined) return ending;
  const most = Math.max(2, Math.floor(typed.length / 4));
  let closest: { name: string | null; changes: number } = { name: null, changes: most + 1 };
  for (const name of names) {
    if (Math.abs(name.length - typed.length) >= closest.changes) continue;
    const changes = changedLetters(typed, name);
    if (changes < closest.changes) closest = { name, changes };
  }
  return closest.name;
}

/** Letters put in, left out or replaced from one word to another. */
function changedLetters(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column++)
      next.push(
        Math.min(next[column - 1]! + 1, row[column]! + 1, row[column - 1]! + (letter === to[column - 1] ? 0 : 1)),
      );
    row = next;
  }
  return row[to.length]!;
}
