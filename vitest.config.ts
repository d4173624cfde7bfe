import { defineConfig } from 'vitest/config';

// Tests run against the sources of `shared`, not its build, so that a stale build cannot hide a failure.
const resolve = {
  alias: [{ find: /^@plumbline\/shared\/(.*)$/, replacement: new URL('shared/$1.ts', import.meta.url).pathname }],
};

export default defineConfig({
  test: {
    projects: [
      {
        resolve,
        test: {
          name: 'unit',
          include: ['{shared,server,web}/**/*.test.ts', '{shared,server,web}/**/*.test.tsx'],
          exclude: ['**/dist/**', '**/node_modules/**'],
          pool: 'forks',
          testTimeout: 60_000,
        },
      },
      {
        resolve,
        test: {
          name: 'system',
          include: ['test/**/*.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
