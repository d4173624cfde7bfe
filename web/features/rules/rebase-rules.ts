import { named, type RuleForm } from './rule-form';

/**
 * Merges a list of rules made from `before` with the rules in force `now`. A change, addition or removal by one side is
 * kept. If both changed a rule, both versions are kept, the list's own under a free name.
 */
export function rebaseRules(
  mine: readonly RuleForm[],
  { before, now }: { before: readonly RuleForm[]; now: readonly RuleForm[] },
): RuleForm[] {
  const isAsBefore = (rule: RuleForm): boolean => before.some((other) => isSame(other, rule));
  const kept = now.flatMap((rule) => {
    if (!isAsBefore(rule)) return [rule];
    return mine.find(({ name }) => name.trim() === rule.name) ?? [];
  });
  const others = mine.filter(
    (rule) => !isAsBefore(rule) && !kept.includes(rule) && !now.some((other) => isSame(other, rule)),
  );
  return others.reduce((rules, rule) => [...rules, named(rule, rules)], kept);
}

const isSame = (a: RuleForm, b: RuleForm): boolean => JSON.stringify(a) === JSON.stringify(b);
