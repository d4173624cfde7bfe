/** By themselves, so that who names them in a help text loads neither pictures nor tables. */
export const dataFormatNames = ['cub_200', 'pixmo_count', 'path_vqa', 'text_vqa', 'time_clock', 'llava'] as const;
export type DataFormatName = (typeof dataFormatNames)[number];
