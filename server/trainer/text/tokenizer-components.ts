/** The splitting rule of GPT-2, which a byte-level component with `use_regex` applies. */
export const gpt2Split = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** A component that cuts a text at every match of a regular expression, written as in `tokenizer.json`. */
export const splitBy = (pattern: string): object => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
});

interface Component {
  type?: unknown;
  pretokenizers?: unknown;
  individual_digits?: unknown;
  use_regex?: unknown;
  add_prefix_space?: unknown;
}

/**
 * Replaces components of a `pre_tokenizer` that `@huggingface/tokenizers` 0.2 reads otherwise than the Python package:
 * its `Digits` knows ASCII digits only ("½" and "٣" are numbers as well), and its `ByteLevel` takes JavaScript's white
 * space (U+FEFF is none, U+0085 is). Its `Split` has the right classes and says the same.
 */
export function exactPreTokenizer(component: unknown): unknown {
  if (typeof component !== 'object' || component === null) return component;
  const { type, pretokenizers, individual_digits, use_regex, add_prefix_space } = component as Component;
  if (type === 'Sequence' && Array.isArray(pretokenizers))
    return { ...component, pretokenizers: pretokenizers.map(exactPreTokenizer) };
  if (type === 'Digits') return splitBy(individual_digits === true ? '\\p{N}' : '\\p{N}+');
  // A prefix space is added before splitting, so such a component stays whole.
  if (type === 'ByteLevel' && use_regex !== false && add_prefix_space === false)
    return { type: 'Sequence', pretokenizers: [splitBy(gpt2Split), { ...component, use_regex: false }] };
  return component;
}
