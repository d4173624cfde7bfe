/** A file that is missing, cut short, altered or of another kind. The message names the file and the remedy. */
export class DamagedFileError extends Error {
  override name = 'DamagedFileError';
}
