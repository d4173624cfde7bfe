import { describe, expect, it } from 'vitest';
import { AskedCommand } from './command.js';
import { StartRunRequest } from './built-in/start-run.js';
import { cleaned, isPlain, visibleLine, visibleText } from './plain-text.js';
import { RunConfig } from './built-in/run-config.js';

const odd: [what: string, char: string][] = [
  ['an escape', '\u001b'],
  ['a bell', '\u0007'],
  ['nothing', '\u0000'],
  ['a carriage return', '\r'],
  ['delete', '\u007f'],
  ['a control sequence of one byte', '\u009b'],
  ['a turn of the writing direction', '\u202e'],
  ['an isolate', '\u2066'],
  ['half a pair', '\ud83d'],
];
const fine = 'Zażółć 一只鸟 👩‍🔬 عربي ‏× “x”';

describe('text', () => {
  it.each(odd)('with %s is not plain, and is made visible and clean', (_, char) => {
    const text = `a${char}b`;
    expect(isPlain(text)).toBe(false);
    expect(visibleLine(text)).toMatch(/^a\\u[0-9a-f]{4}b$/);
    expect(JSON.parse(`"${visibleText(text)}"`)).toBe(text);
    expect(cleaned(text)).toBe('a\uFFFDb');
  });
  it('of any language is plain, and left as it is', () => {
    expect([isPlain(fine), visibleLine(fine), cleaned(fine)]).toEqual([true, fine, fine]);
  });
  it('may have lines where it is running text', () => {
    const text = 'a\n\tb\r\nc\u2028d';
    expect([visibleText(text), cleaned(text)]).toEqual([text, text]);
    expect([isPlain('a\nb'), visibleLine('a\nb'), visibleLine('a\u2028b')]).toEqual([false, 'a\\u000ab', 'a\\u2028b']);
  });
  it('is cleaned wherever it stands in a value, and nothing else is changed', () => {
    const value = { a: ['x\u001b', 1, null, true], 'k\u0007': { b: 'fine' } };
    expect(cleaned(value)).toEqual({ a: ['x\uFFFD', 1, null, true], 'k\uFFFD': { b: 'fine' } });
  });
});

describe('a name that somebody gives', () => {
  const rule = {
    ...{ name: 'rule', metric: 'train/loss', actions: [{ kind: 'pause' }] },
    condition: { kind: 'not_finite' },
  };
  const refusal = (parsed: { error?: { issues: { path: PropertyKey[]; message: string }[] } }): string[] =>
    (parsed.error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
  it.each([...odd, ['a line break', '\n'] as const, ['a line separator', '\u2028'] as const])(
    'is refused with %s',
    (_, char) => {
      const name = `a${char}b`;
      const wrong = 'control characters, line breaks and marks of writing direction are not allowed';
      expect(refusal(StartRunRequest.safeParse({ config: { name } }))).toEqual([`config.name: ${wrong}`]);
      expect(refusal(StartRunRequest.safeParse({ config: { name: 'x', rules: [{ ...rule, name }] } }))).toEqual([
        `config.rules.0.name: ${wrong}`,
      ]);
      const command = { commandId: 'command-1', runId: 'run-a' };
      const rules = { kind: 'set_rules', rules: [{ ...rule, name }] };
      expect(refusal(AskedCommand.safeParse({ ...command, action: rules }))).toEqual([`action.rules.0.name: ${wrong}`]);
      const pattern = { kind: 'set_trainable', selection: { kind: 'pattern', pattern: name } };
      expect(refusal(AskedCommand.safeParse({ ...command, action: pattern }))).toEqual([
        `action.selection.pattern: ${wrong}`,
      ]);
    },
  );
  it('is taken otherwise, and one that was stored before can still be read', () => {
    expect(StartRunRequest.parse({ config: { name: fine } }).config.name).toBe(fine);
    expect(RunConfig.parse({ name: 'a\u001b[31mb' }).name).toBe('a\u001b[31mb');
  });
});
