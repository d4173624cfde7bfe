import { readConversations } from './conversations.js';
import { readCub200 } from './cub-200.js';
import type { DataFormat } from './data-format.js';
import type { DataFormatName } from './data-format-names.js';
import { readLlava } from './llava.js';
import { readPathVqa } from './path-vqa.js';
import { readPixmoCount } from './pixmo-count.js';
import { readTextVqa } from './text-vqa.js';
import { readTimeClock } from './time-clock.js';

/** The supported layouts of data sets, by their names in docs/data-formats.md. */
export const dataFormats = {
  cub_200: readCub200,
  pixmo_count: readPixmoCount,
  path_vqa: readPathVqa,
  text_vqa: readTextVqa,
  time_clock: readTimeClock,
  llava: readLlava,
  conversations: readConversations,
} as const satisfies Record<DataFormatName, DataFormat>;
