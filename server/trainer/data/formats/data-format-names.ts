/** A file of its own, so that help texts can name the formats without loading readers of pictures or tables. */
export const dataFormatNames = [
  'cub_200',
  'pixmo_count',
  'path_vqa',
  'text_vqa',
  'time_clock',
  'llava',
  'conversations',
] as const;
export type DataFormatName = (typeof dataFormatNames)[number];
