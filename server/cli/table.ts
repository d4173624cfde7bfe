import { visibleLine } from '@plumbline/shared/plain-text';

/**
 * Formats rows as a table with headings. Text is safe for a terminal.
 * @param right indices of right-aligned columns
 */
export function table(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string[] {
  const cells = [heads, ...rows].map((row) => row.map((cell) => visibleLine(cell)));
  const widths = heads.map((_, column) => Math.max(...cells.map((row) => [...(row[column] ?? '')].length)));
  return cells.map((row) =>
    row
      .map((cell, column) => {
        const space = ' '.repeat(widths[column]! - [...cell].length);
        return right.includes(column) ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd(),
  );
}
