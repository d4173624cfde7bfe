import { blockName, type MapColumn, type MapRow, type MapSection } from '../../lib/model-map';

/** Neighbouring columns of one block and its experts share one head. */
export function bandsOf(
  columns: MapSection['columns'],
): (Pick<MapColumn, 'block' | 'ofExperts'> & { from: number; to: number })[] {
  const bands: ReturnType<typeof bandsOf> = [];
  columns.forEach(({ block, ofExperts }, index) => {
    const last = bands.at(-1);
    if (last && last.block === block && last.ofExperts === ofExperts) last.to = index + 1;
    else bands.push({ block, ofExperts, from: index, to: index + 1 });
  });
  return bands;
}
/** A block with one column shows its name there. */
export const bandName = (block: string, ofExperts: boolean, width: number): string =>
  ofExperts ? 'experts' : width === 1 ? '' : blockName(block);

/** CSS grid lines of the columns: the first is for the layers, and a gap separates bands. */
export function placesOf(columns: MapSection['columns']): number[] {
  return bandsOf(columns).flatMap(({ from, to }, band) =>
    Array.from({ length: to - from }, (_, i) => from + i + band + 2),
  );
}
export function templateOf(columns: MapSection['columns'], rows: readonly MapRow[]): string {
  const bands = bandsOf(columns).map(({ from, to }) => `repeat(${to - from}, minmax(0, 1fr))`);
  return `${rows.some(({ experts }) => experts.length > 0) ? 40 : 30}px ${bands.join(' 6px ')}`;
}
