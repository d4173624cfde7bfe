import type { SeriesDeclaration, SeriesFacts } from './series.js';

const loss = /(^|[^a-z])loss/i;

/** Whether a series is a loss, by its name or label: `loss`, `train/loss`, `eval_loss`. */
export const isLoss = ({ name, label = '' }: Pick<SeriesFacts, 'name' | 'label'>): boolean =>
  loss.test(name) || loss.test(label);

/** An event, of which only declarations are used. */
interface Declaring {
  type: string;
  series?: readonly SeriesDeclaration[] | undefined;
}

/** The declarations that an event brings. */
export const declarationsOf = ({ type, series }: Declaring): readonly SeriesDeclaration[] =>
  ((type === 'run_started' || type === 'series_declared') && series) || [];

/** The series of a run by name, each as it was declared last. */
export function declaredIn(events: Iterable<Declaring>): Map<string, SeriesDeclaration> {
  const declared = new Map<string, SeriesDeclaration>();
  for (const event of events)
    for (const declaration of declarationsOf(event)) declared.set(declaration.name, declaration);
  return declared;
}
