/**
 * Groups names by their prefix up to the first slash. Groups and names are sorted; names without a slash come first, with
 * an empty prefix.
 */
export function groupsOf(names: readonly string[]): { prefix: string; names: string[] }[] {
  const groups = new Map<string, string[]>();
  for (const name of [...names].sort()) {
    const prefix = name.slice(0, Math.max(0, name.indexOf('/')));
    const group = groups.get(prefix) ?? [];
    groups.set(prefix, group);
    group.push(name);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([prefix, of]) => ({ prefix, names: of }));
}

/** Whether a series is a learning rate by its name: `train/learning_rate`, `lr`, `lr-AdamW/pg1`, `train/lr/vision`. */
export const isLearningRate = (name: string): boolean => /(^|\/)(lr|learning_rate)($|[-_/.\d])/i.test(name);
