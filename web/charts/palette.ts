/** Colours of series and marks. Each is a CSS variable `--chart-<name>` of the current theme. */
export const chartColors = [
  'ink',
  'target',
  'held-out',
  'violet',
  'green',
  'amber',
  'sky',
  'rose',
  'slate',
  'grid',
  'axis',
  'surface',
  'mark',
  'mark-quiet',
  'bad',
  'selection',
] as const;
export type ChartColor = (typeof chartColors)[number];
export type Palette = Record<ChartColor, string>;

/**
 * Colours for series without a meaning of their own. People with colour blindness can tell them apart. The second blue
 * and the second orange come last: few charts have so many lines.
 */
export const categorical: readonly ChartColor[] = [
  'target',
  'amber',
  'green',
  'rose',
  'violet',
  'ink',
  'sky',
  'held-out',
];
export const categoricalColor = (index: number): ChartColor => categorical[index % categorical.length]!;

const darkQuery = '(prefers-color-scheme: dark)';
const palettes = new Map<string, Palette>();

/** Canvas cannot resolve CSS variables, so they are read once per theme. */
export function currentPalette(): Palette {
  const root = document.documentElement;
  const theme = root.dataset['theme'] ?? (matchMedia(darkQuery).matches ? 'dark' : 'light');
  let palette = palettes.get(theme);
  if (!palette) {
    const style = getComputedStyle(root);
    const entries = chartColors.map((color) => [color, style.getPropertyValue(`--chart-${color}`).trim()] as const);
    palette = Object.fromEntries(entries) as Palette;
    palettes.set(theme, palette);
  }
  return palette;
}

/** Calls back when the theme changes, by the user's choice or the system's. */
export function onThemeChange(listener: () => void): () => void {
  const observer = new MutationObserver(listener);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  const system = matchMedia(darkQuery);
  system.addEventListener('change', listener);
  return () => {
    observer.disconnect();
    system.removeEventListener('change', listener);
  };
}
