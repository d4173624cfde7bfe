import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { linkCommand } from './how-to-control.js';

describe('the command for a new link', () => {
  it('names the data folder where it is not the default one', () => {
    expect(linkCommand(resolve('.plumbline'))).toBe('npm run plumbline -- link');
    expect(linkCommand('/srv/runs')).toBe('npm run plumbline -- link --data-dir /srv/runs');
  });
  it('can be typed as it stands, whatever the folder is called', () => {
    expect(linkCommand("/srv/Ada's runs")).toBe(`npm run plumbline -- link --data-dir '/srv/Ada'\\''s runs'`);
  });
});
