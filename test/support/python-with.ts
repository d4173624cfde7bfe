import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * A Python that has all these packages: PLUMBLINE_PYTHON, or the environment that .ci/run makes.
 * @returns undefined, after a warning, when there is none: `what` is then not tested
 */
export function pythonWith(packages: readonly string[], what: string): string | undefined {
  const names = packages.map((name) => `"${name}"`).join(', ');
  const script = `import importlib.util as u; [u.find_spec(n).name for n in (${names},)]`;
  const python = [process.env['PLUMBLINE_PYTHON'], join(homedir(), '.cache/plumbline/python/bin/python')].find(
    (path) => {
      if (!path || !existsSync(path)) return false;
      try {
        execFileSync(path, ['-c', script], { stdio: 'ignore' });
        return true;
      } catch {
        return false;
      }
    },
  );
  if (!python)
    console.warn(
      `${what} not tested: no Python has ${packages.join(', ')}. ` +
        'Name one in PLUMBLINE_PYTHON, or run test/conformance/python.sh, which makes ~/.cache/plumbline/python.',
    );
  return python;
}
