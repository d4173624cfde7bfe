import type { Rng } from '@plumbline/shared/rng';

/*
 * Almost valid input: most of it passes the first check, so that later code is reached too. Everything is drawn from
 * the seed.
 */

const oddStrings = [
  ...[
    '',
    ' ',
    '\0',
    '\u001b[2J',
    '\u202e',
    '\ud800',
    '\ufeff',
    'é'.normalize('NFD'),
    '𝟙',
    '一只鸟',
    '\n',
    '\r\n',
    '"',
    '\\',
    "'",
    ',',
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'length',
    'NaN',
    'Infinity',
    '-Infinity',
    'null',
    'undefined',
  ],
  ...[
    '1',
    '-1',
    '1e999',
    '0x10',
    '../../etc/passwd',
    '/dev/null',
    'C:\\',
    '%00',
    '<script>',
    '${x}',
    '*',
    '?',
    '{}',
    '[]',
  ],
  ...['9007199254740993', 'true', '<image>', 'train/loss', 'x'.repeat(201), 'x'.repeat(5000)],
];
const oddNumbers = [
  ...[0, -0, 1, -1, 0.5, 2 ** 31, 2 ** 31 - 1, -(2 ** 31), 2 ** 32, 2 ** 53, 2 ** 53 - 1, -(2 ** 53), 1e308, -1e308],
  ...[Number.MAX_VALUE, Number.MIN_VALUE, 1e21, 1e-7, 1_700_000_000_000_000_000, 255, 65_536, 1000.000_001],
];

/** A value that a field may not expect. */
export function oddValue(rng: Rng, depth = 0): unknown {
  const kind = rng.integer(depth > 3 ? 5 : 8);
  if (kind < 2) return rng.pick(oddStrings);
  if (kind < 4) return rng.pick(oddNumbers);
  if (kind === 4) return rng.pick([null, true, false]);
  if (kind === 5) return Array.from({ length: rng.integer(4) }, () => oddValue(rng, depth + 1));
  if (kind === 6) return nested(rng);
  return Object.fromEntries(
    Array.from({ length: rng.integer(4) }, () => [rng.pick(oddStrings), oddValue(rng, depth + 1)]),
  );
}

/** Deeply nested lists or objects. */
function nested(rng: Rng): unknown {
  let value: unknown = 1;
  const isList = rng.integer(2) === 0;
  for (let depth = rng.integer(300); depth > 0; depth--) value = isList ? [value] : { a: value };
  return value;
}

/** A copy of JSON data with one to three changes. */
export function mutated(rng: Rng, value: unknown): unknown {
  let result = structuredClone(value);
  for (let changes = 1 + rng.integer(3); changes > 0; changes--) result = changed(rng, result);
  return result;
}

function changed(rng: Rng, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || rng.integer(12) === 0) return instead(rng, value);
  const keys = Object.keys(value);
  const holder = value as Record<string, unknown>;
  const key = keys.length > 0 ? rng.pick(keys) : 'a';
  switch (rng.integer(8)) {
    case 0:
      if (Array.isArray(value)) value.splice(rng.integer(value.length + 1), 1);
      else delete holder[key];
      return value;
    case 1:
      if (Array.isArray(value)) value.push(oddValue(rng));
      else define(holder, rng.pick(oddStrings), oddValue(rng));
      return value;
    case 2:
      if (Array.isArray(value)) value.push(...(value as unknown[]).slice(0, 50));
      else if (keys.length > 1) holder[key] = holder[rng.pick(keys)];
      return value;
    default:
      holder[key] = changed(rng, holder[key]);
      return value;
  }
}

/** Like JSON.parse, which also makes a field of `__proto__`. */
const define = (holder: object, key: string, value: unknown): void =>
  void Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });

function instead(rng: Rng, value: unknown): unknown {
  if (rng.integer(3) === 0) return oddValue(rng);
  if (typeof value === 'number') return rng.pick([value + 1, -value, value * 1e10, String(value), value + 0.5, null]);
  if (typeof value === 'string') return rng.integer(2) ? mutatedText(rng, value) : rng.pick(oddStrings);
  return oddValue(rng);
}

const pieces = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ',',
  ':',
  '\n',
  '\0',
  '-',
  '.',
  'e',
  '9',
  '\\u',
  ' ',
  '\x1e',
  ';',
  '\ufeff',
  '/',
  '*',
];

/** Text with a few characters removed, inserted, doubled or swapped. */
export function mutatedText(rng: Rng, text: string): string {
  let result = text;
  for (let changes = 1 + rng.integer(4); changes > 0; changes--) {
    const at = rng.integer(result.length + 1);
    const length = rng.integer(rng.integer(10) === 0 ? 100 : 5);
    const put = [
      '',
      rng.pick(pieces),
      rng.pick(oddStrings),
      result.slice(at, at + length).repeat(2),
      String.fromCharCode(rng.integer(65_536)),
      rng.pick(pieces).repeat(rng.integer(50)),
    ];
    result = result.slice(0, at) + rng.pick(put) + result.slice(at + length);
  }
  return result;
}

/** Bytes with a few flipped, cut off or inserted. */
export function mutatedBytes(rng: Rng, bytes: Buffer): Buffer {
  const result = Buffer.from(bytes);
  for (let changes = 1 + rng.integer(4); changes > 0 && result.length > 0; changes--)
    result[rng.integer(result.length)] = rng.integer(256);
  return rng.integer(4) === 0 ? result.subarray(0, rng.integer(result.length + 1)) : result;
}
