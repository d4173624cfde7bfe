/** The longest input that is compared: the length of the longest metric name. */
const longestMisspelling = 200;

/**
 * The name that the user probably meant: a name that ends in the input (`loss`: `train/loss`), else the name with the
 * smallest edit distance (Levenshtein 1966), if that is small; null if there is none.
 */
export function closestName(typed: string, names: readonly string[]): string | null {
  // A longer input is not a misspelling, and comparing it would be slow.
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

/** Insertions, deletions and substitutions that turn one word into another. */
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
