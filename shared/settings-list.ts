/** One setting of a run: its path and its plain value. */
export interface SettingEntry {
  /** Names from the outside in, with the numbers of list entries: `optimizer.betas.0` is three. */
  path: readonly string[];
  value: string | number | boolean | null;
}

/** Lists of plain values are one setting as long as they have at most this many. */
const shortList = 12;

/**
 * Settings one by one, in their order. A short list of plain values is one setting (`0.9, 0.999`), as is what is empty.
 */
export function settingEntries(settings: Readonly<Record<string, unknown>>): SettingEntry[] {
  const entries: SettingEntry[] = [];
  const take = (value: unknown, path: readonly string[]): void => {
    if (typeof value !== 'object' || value === null)
      return void entries.push({ path, value: value as SettingEntry['value'] });
    const parts = Object.entries(value);
    const isShort = parts.length <= shortList && parts.every(([, part]) => typeof part !== 'object' || part === null);
    if (parts.length === 0) entries.push({ path, value: Array.isArray(value) ? '[]' : '{}' });
    else if (Array.isArray(value) && isShort) entries.push({ path, value: value.map(partWords).join(', ') });
    else for (const [name, part] of parts) take(part, [...path, name]);
  };
  for (const [name, value] of Object.entries(settings)) take(value, [name]);
  return entries;
}

/** A setting's name in one line: `optimizer.betas`. */
export const settingName = ({ path }: Pick<SettingEntry, 'path'>): string => path.join('.');
/** A setting's value as people read it: true and false are yes and no. */
export const settingValue = ({ value }: Pick<SettingEntry, 'value'>): string =>
  typeof value === 'boolean' ? (value ? 'yes' : 'no') : value === null ? 'none' : partWords(value);

/** A small number with an exponent, as people write it: `1e-5`. */
const partWords = (part: unknown): string =>
  typeof part === 'number' && part !== 0 && Math.abs(part) < 1e-3 ? part.toExponential() : String(part);

/**
 * The settings in which runs differ: each with one value per run, undefined if a run lacks it. Runs without settings are
 * ignored: all others would differ from them in everything.
 */
export function differingSettings(
  all: readonly Readonly<Record<string, unknown>>[],
): { name: string; values: (string | undefined)[] }[] {
  const tables = all.map(
    (settings) => new Map(settingEntries(settings).map((one) => [settingName(one), settingValue(one)])),
  );
  const names = new Set(tables.flatMap((table) => [...table.keys()]));
  return [...names].flatMap((name) => {
    const values = tables.map((table) => table.get(name));
    const differ = new Set(values.filter((_, index) => tables[index]!.size > 0)).size > 1;
    return differ ? [{ name, values }] : [];
  });
}
