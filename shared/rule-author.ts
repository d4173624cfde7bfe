const authorPrefix = 'rule:';

export const ruleAuthor = (name: string): string => authorPrefix + name;

export const isRuleAuthor = (author: string): boolean => author.startsWith(authorPrefix);

/** The name of the rule behind an author; undefined for people. */
export const ruleOf = (author: string): string | undefined =>
  isRuleAuthor(author) ? author.slice(authorPrefix.length) : undefined;
