import { marked } from 'marked';
import type { Figure } from './report-figures.js';

/** The report as a page that stands alone, its figures in it. @param title escaped */
export function reportPage(title: string, markdown: string, figures: readonly Figure[]): string {
  let body = marked.parse(markdown, { async: false });
  for (const { file, svg } of figures) body = body.replace(new RegExp(`<img src="${file}"[^>]*>`), () => svg);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
  :root { color-scheme: light dark; --ink: #22262d; --dim: #666d78; --line: #dfe2e7; --paper: #fff; }
  @media (prefers-color-scheme: dark) { :root { --ink: #dfe3ea; --dim: #99a1ad; --line: #343a44; --paper: #15181d; } }
  body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
  table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; }
  th, td { border-bottom: 1px solid var(--line); padding: 0.3rem 0.7rem; text-align: left; vertical-align: top; }
  td { min-width: 7rem; } th[align], td[align] { text-align: right; } td[align] { min-width: 0; white-space: nowrap; }
  p, li { max-width: 60rem; }
  svg.figure { width: 100%; height: auto; } em { color: var(--dim); } code { font-size: 0.9em; }
</style>
${body}</html>
`;
}
