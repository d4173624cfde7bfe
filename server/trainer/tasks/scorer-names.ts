/** How answers are scored; what each means stands in scorers.ts. A file of its own, so that settings can name them. */
export const scorerNames = [
  'exact',
  'option_letter',
  'integer',
  'relaxed_5_percent',
  'anls',
  'vqa_accuracy',
  'path_vqa_exact_match',
  'path_vqa_yes_no',
  'clock',
  'clock_hour',
  'clock_minute',
] as const;
export type Scorer = (typeof scorerNames)[number];
