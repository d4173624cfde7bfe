import type { Interval } from '../analysis/bootstrap.js';
import { withInterval } from '../analysis/study-claims.js';

/** An interval in a cell; – for what is not defined. */
export const cell = (interval: Interval | null): string => (interval ? withInterval(interval) : '–');

/** Somebody's words, so that they are neither markup nor the end of a table's cell. */
export const plain = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('|', '&#124;');

/** A table. Numbers stand at the right, words at the left. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  `| ${head.join(' | ')} |`,
  `| ${head.map((_, column) => (rows.every((row) => /^[+−\d–]/.test(row[column]!)) ? '---:' : '---')).join(' | ')} |`,
  ...rows.map((row) => `| ${row.join(' | ')} |`),
  '',
];
