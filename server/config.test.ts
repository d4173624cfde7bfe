import { expect, it } from 'vitest';
import { misspeltSettings, readConfig } from './config.js';
import { UsageError } from './usage-error.js';

it('a setting of the environment that looks like a known one is named, with that one', () => {
  expect(
    misspeltSettings({
      ...{ PLUMBLINE_PROT: '1', PLUMBLINE_TRAINER_GRACE: '5', PLUMBLINE_DATADIR: 'x' },
      // Known ones, and those of other programs.
      ...{ PLUMBLINE_PORT: '1', PLUMBLINE_INFLUX_ADMIN_TOKEN: 'x', PLUMBLINE_PYTHON: 'python3', PLUMBLINE_CACHE: 'x' },
      ...{ PORT: '1', PROT: '1' },
    }),
  ).toEqual([
    'There is no setting PLUMBLINE_PROT; did you mean PLUMBLINE_PORT?',
    'There is no setting PLUMBLINE_TRAINER_GRACE; did you mean PLUMBLINE_TRAINER_GRACE_MS?',
    'There is no setting PLUMBLINE_DATADIR; did you mean PLUMBLINE_DATA_DIR?',
  ]);
});

it('a setting that is wrong is a mistake of whoever set it', () => {
  expect(() => readConfig({ PLUMBLINE_PORT: 'x' })).toThrow(UsageError);
  expect(() => readConfig({ PLUMBLINE_TRAINER_SILENCE_MS: '1' })).toThrow(
    '--trainer-silence-ms cannot be "1": it is at least 100.',
  );
  expect(readConfig().trainerSilenceMs).toBe(120_000);
});
