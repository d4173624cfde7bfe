import { expect, it, onTestFinished, vi } from 'vitest';
import { say, sayError } from './terminal.js';

it('shows what a name would do to the terminal instead of doing it', () => {
  const line = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  const errorLine = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  onTestFinished(() => void vi.restoreAllMocks());
  say('run-a  Nice\u001b[2K\rother\nDeleted run-b, \u202efinished');
  sayError(new Error('The run \u009b31m is kept.\nNothing was deleted.'));
  expect(line).toHaveBeenCalledWith('run-a  Nice\\u001b[2K\\u000dother\\u000aDeleted run-b, \\u202efinished');
  expect(errorLine).toHaveBeenCalledWith('The run \\u009b31m is kept.\nNothing was deleted.');
});
