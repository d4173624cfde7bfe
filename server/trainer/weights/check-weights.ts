import { DamagedFileError } from './damaged-file-error.js';

export type Shapes = ReadonlyMap<string, readonly number[]>;

/** Names in a message. */
const mostNamed = 4;

/**
 * Compares the weights that a model needs with those found.
 * @param wanted by the model's configuration
 * @param found on disk; under the same names, or their own where the family has none for them
 * @param folder for the message
 * @throws DamagedFileError with what is missing, too much or of another shape: how many, and a few of them by name
 */
export function checkWeights(wanted: Shapes, found: Shapes, folder: string): void {
  const missing = [...wanted.keys()].filter((name) => !found.has(name));
  const extra = [...found.keys()].filter((name) => !wanted.has(name));
  const reshaped = [...wanted].flatMap(([name, shape]) => {
    const other = found.get(name);
    return other && words(other) !== words(shape) ? [`${name} [${words(other)}] instead of [${words(shape)}]`] : [];
  });
  const faults = [
    ...listed(missing, 'is missing', 'are missing'),
    ...listed(extra, 'is not of this model', 'are not of this model'),
    ...listed(reshaped, 'has another shape', 'have another shape'),
  ];
  if (faults.length === 0) return;
  throw new DamagedFileError(
    `The weights in ${folder} do not fit its config.json: ${faults.join('; ')}. ` +
      'Download config.json and all weights of the same model.',
  );
}

const words = (shape: readonly number[]): string => shape.join(', ');

function listed(names: readonly string[], one: string, many: string): string[] {
  if (names.length === 0) return [];
  const more = names.length > mostNamed ? ', ...' : '';
  const verb = names.length === 1 ? `tensor ${one}` : `tensors ${many}`;
  return [`${names.length} ${verb} (${names.slice(0, mostNamed).join(', ')}${more})`];
}
