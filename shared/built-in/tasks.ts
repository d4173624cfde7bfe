/** The target skills, and what people read of them. */
export const targetLabels = {
  kinds: 'Bird kinds',
  counting: 'Counting',
  tissue: 'Tissue questions',
  reading: 'Reading words',
  clock: 'Clock reading',
} as const;
export type TargetTask = keyof typeof targetLabels;
export const targetTaskNames = Object.keys(targetLabels) as [TargetTask, ...TargetTask[]];

/** The base model's own tasks, which a run may make it forget, and what people read of them. */
export const heldOutLabels = {
  colour: 'Colour',
  shape: 'Shape',
  position: 'Position',
  yes_no: 'Yes or no',
  caption: 'Caption',
  digits: 'Digits',
  easy_vqa: 'Easy VQA',
  chart: 'Chart',
} as const;
export type HeldOutTask = keyof typeof heldOutLabels;
export const heldOutTaskNames = Object.keys(heldOutLabels) as readonly HeldOutTask[];
