import { BackendError, selectBackend } from './backend/select-backend.js';
import { loadBaseModel } from './checkpoint.js';
import { MergeError, mergeCheckpoint } from './methods/merge-checkpoint.js';
import { DamagedFileError } from './weights/damaged-file-error.js';

/**
 * Writes a checkpoint as a plain model: `merge CHECKPOINT_FOLDER OUT_FOLDER`. On failure prints the reason and exits
 * with 1.
 */
const [from, to] = process.argv.slice(2);
if (!from || !to) throw new Error('Give two folders: the checkpoint and the output.');
try {
  await selectBackend();
  console.log(`Wrote ${to}: ${await mergeCheckpoint(from, to, await loadBaseModel())}.`);
} catch (error) {
  const expected = [BackendError, DamagedFileError, MergeError].some((kind) => error instanceof kind);
  console.error(expected ? (error as Error).message : error);
  process.exit(1);
}
