import { expect, it } from 'vitest';
import { UsageError } from '../usage-error.js';
import { openRunFile } from './open-run-file.js';

it('refuses a file that is not there as wrong usage', async () => {
  await expect(openRunFile('no-such-folder/run.jsonl')).rejects.toThrow(
    new UsageError('There is no no-such-folder/run.jsonl.'),
  );
  await expect(openRunFile('no-such-folder/run.jsonl')).rejects.toBeInstanceOf(UsageError);
});
