/*
 * The layout of DuckDB 1.4's files, as far as it is needed to find damage and to undo one altered byte.
 *
 * A database is three headers of 4096 bytes and then blocks of 256 KiB; each begins with 8 bytes of checksum over its
 * rest. A write-ahead log begins with its version and goes on in entries: 8 bytes length, 8 bytes checksum, content. Integers
 * are little-endian. The checksum is the XOR of one product for each 8 bytes, so each of them can be solved for.
 *
 * A checksum is no error-correcting code: some altered bytes stay ambiguous, and these are not touched.
 *
 * If a later DuckDB differs, no checksum matches and nothing is changed; DuckDB itself checks the result.
 */

const headerBytes = 4096;
/** The three headers. */
export const headersBytes = 3 * headerBytes;
const blockBytes = 262_144;
/** The beginning of each log: the entry with its version. */
const logVersion = Buffer.from('640062650002ffff', 'hex');
const logEntryBytes = 16;

const mask = (1n << 64n) - 1n;
const factor = 0xbf58476d1ce4e5b9n;
const inverse = inverseOf(factor);
const remainderFactor = 0xc6a4a7935bd1e995n;
const seed = 5381n;
/** Occurrences of a word from which on another word that differs in one byte counts as an altered copy of it. */
const many = 16;

/** Findings in a file. Positions are in bytes from its start. */
export interface Mended {
  /** Altered bytes that were restored. */
  mended: number[];
  /** Parts with a wrong checksum that cannot be restored. */
  damaged: { from: number; to: number }[];
}

/** Undoes single altered bytes in a database, one in each block, where the checksum says which. Changes `content`. */
export function mendDatabase(content: Buffer, firstAt = 0): Mended {
  const found: Mended = { mended: [], damaged: [] };
  for (let from = 0; from < content.length;) {
    const bytes = firstAt + from < headersBytes ? headerBytes : blockBytes;
    const to = Math.min(content.length, from + bytes);
    if (to - from === bytes) mendPart(content, from, content.subarray(from, from + 8), from + 8, to, firstAt, found);
    else found.damaged.push({ from: firstAt + from, to: firstAt + to });
    from = to;
  }
  return found;
}

/** Undoes single altered bytes in a write-ahead log, one in each entry, where the checksum says which. Changes `content`. */
export function mendLog(content: Buffer): Mended {
  const found: Mended = { mended: [], damaged: [] };
  const altered = alteredVersion(content);
  if (altered !== null) {
    logVersion.copy(content);
    found.mended.push(altered);
  }
  for (let from = logVersion.length; from + logEntryBytes <= content.length;) {
    let to = endOfEntry(content, from);
    const fits = to <= content.length && isOneByteOff(content, from, to);
    const length = fits ? null : alteredLength(content, from);
    if (length !== null) {
      found.mended.push(from + length.byte);
      content.writeBigUInt64LE(BigInt(length.is), from);
      to = endOfEntry(content, from);
    }
    // The entry was never completed, or more than its length is altered.
    if (to > content.length) {
      found.damaged.push({ from, to: content.length });
      break;
    }
    mendPart(content, from, content.subarray(from + 8, from + 16), from + logEntryBytes, to, 0, found);
    from = to;
  }
  return found;
}

/**
 * Whether DuckDB would consider this log truncated and silently drop the rest although it is there, because the version or
 * a length is altered.
 */
export function wouldBeDropped(content: Buffer): boolean {
  if (alteredVersion(content) !== null) return true;
  let from = logVersion.length;
  while (from + logEntryBytes <= content.length && endOfEntry(content, from) <= content.length)
    from = endOfEntry(content, from);
  return from + logEntryBytes <= content.length && alteredLength(content, from) !== null;
}

/** The intact beginning of a log, up to the entry whose content begins at what DuckDB calls `position`. */
export const logBefore = (position: number): number => position - logEntryBytes;

/** Position of the first altered byte of the version, if an entry of such a log follows; or null. */
function alteredVersion(content: Buffer): number | null {
  const at = logVersion.findIndex((byte, index) => content[index] !== byte);
  const from = logVersion.length;
  if (at < 0 || content.length < from + logEntryBytes) return null;
  const end = endOfEntry(content, from);
  return end <= content.length && sumFits(content, from, end) ? at : null;
}

/** End of an entry, which may be beyond the end of the file. */
const endOfEntry = (content: Buffer, from: number): number =>
  from + logEntryBytes + Number(content.readBigUInt64LE(from));

const sumFits = (content: Buffer, from: number, to: number): boolean =>
  checksum(content.subarray(from + logEntryBytes, to)) === content.readBigUInt64LE(from + 8);

function isOneByteOff(content: Buffer, from: number, to: number): boolean {
  const part = content.subarray(from + logEntryBytes, to);
  const difference = checksum(part) ^ content.readBigUInt64LE(from + 8);
  return difference === 0n || isOneByte(difference) || alteredByte(part, difference) !== null;
}

/** The original length of an entry if one of its bytes is altered: the length that matches the checksum. */
function alteredLength(content: Buffer, from: number): { is: number; byte: number } | null {
  const now = content.readBigUInt64LE(from);
  const stored = content.readBigUInt64LE(from + 8);
  const start = from + logEntryBytes;
  const candidates = Array.from({ length: 8 * 255 }, (_, index) => {
    const byte = Math.floor(index / 255);
    return { is: now ^ (BigInt((index % 255) + 1) << BigInt(byte * 8)), byte };
  })
    .filter(({ is }) => is <= BigInt(content.length - start))
    .map(({ is, byte }) => ({ is: Number(is), byte }))
    .sort((a, b) => a.is - b.is);
  // One pass checks all candidates: the sum of a longer one continues that of a shorter one.
  let sum = seed;
  let word = 0;
  for (const candidate of candidates) {
    for (; word < candidate.is >> 3; word++) sum ^= (content.readBigUInt64LE(start + word * 8) * factor) & mask;
    const rest = content.subarray(start + word * 8, start + candidate.is);
    if ((rest.length > 0 ? sum ^ remainder(rest) : sum) === stored) return candidate;
  }
  return null;
}

function mendPart(
  content: Buffer,
  from: number,
  stored: Buffer,
  start: number,
  to: number,
  firstAt: number,
  { mended, damaged }: Mended,
): void {
  const part = content.subarray(start, to);
  const wanted = stored.readBigUInt64LE(0);
  const difference = checksum(part) ^ wanted;
  if (difference === 0n) return;
  const isDatabaseHeader = firstAt + from >= headerBytes && part.length === headerBytes - 8;
  const at = alteredByte(part, difference, isDatabaseHeader ? isPossibleInHeader : undefined);
  if (at !== null && at !== 'several') {
    part[at.offset] = at.value;
    mended.push(firstAt + start + at.offset);
  } else if (at === null && isOneByte(difference)) {
    // No byte of the content explains it, so a byte of the checksum is altered.
    stored.writeBigUInt64LE(wanted ^ difference, 0);
    mended.push(firstAt + stored.byteOffset - content.byteOffset);
  } else damaged.push({ from: firstAt + from, to: firstAt + to });
}

/** The second and the third header hold seven numbers, counts and positions of blocks (all ones: none), then zeros. */
const isPossibleInHeader = (word: number, value: bigint): boolean =>
  word < 7 ? value < 1n << 32n || value === mask : value === 0n;

/**
 * The one byte that explains the difference of two checksums. Several could, where another word equals the original one or
 * the altered byte is the highest of its word. Then the isolated one is chosen: its word is the only non-zero one between
 * zeros, or equals no other now and would equal many.
 * @returns null where none does
 */
function alteredByte(
  part: Buffer,
  difference: bigint,
  isPossible: (word: number, value: bigint) => boolean = () => true,
): { offset: number; value: number } | 'several' | null {
  const words = part.length >> 3;
  const candidates: { offset: number; value: number; now: bigint; then: bigint }[] = [];
  for (let word = 0; word < words; word++) {
    const now = part.readBigUInt64LE(word * 8);
    const then = ((((now * factor) & mask) ^ difference) * inverse) & mask;
    const change = now ^ then;
    if (change === 0n || !isOneByte(change) || !isPossible(word, then)) continue;
    const byte = byteOf(change);
    const value = Number((then >> BigInt(byte * 8)) & 0xffn);
    candidates.push({ offset: word * 8 + byte, value, now, then });
  }
  const rest = Buffer.from(part.subarray(words * 8));
  const wanted = remainder(rest) ^ difference;
  for (let offset = 0; offset < rest.length; offset++)
    for (let change = 1; change < 256; change++) {
      rest[offset]! ^= change;
      const fits = remainder(rest) === wanted;
      const value = rest[offset]!;
      rest[offset]! ^= change;
      // It is no complete word, so it equals none.
      if (fits) candidates.push({ offset: words * 8 + offset, value, now: -1n, then: -1n });
    }
  if (candidates.length <= 1) return candidates[0] ?? null;
  const amongZeros = candidates.filter(({ offset, then }) => then === 0n && isAmongZeros(part, offset >> 3));
  if (amongZeros.length === 1) return amongZeros[0]!;
  const times = new Map<bigint, number>();
  for (let word = 0; word < words; word++) {
    const value = part.readBigUInt64LE(word * 8);
    times.set(value, (times.get(value) ?? 0) + 1);
  }
  const alone = candidates.filter(({ now, then }) => times.get(now) === 1 && (times.get(then) ?? 0) >= many);
  return alone.length === 1 ? alone[0]! : 'several';
}

/** Whether the eight words before one and the eight after it are zero. */
function isAmongZeros(part: Buffer, word: number): boolean {
  const [from, to] = [word * 8 - 64, word * 8 + 72];
  if (from < 0 || to > part.length) return false;
  return part.subarray(from, to).every((byte, index) => byte === 0 || (index >= 64 && index < 72));
}

/** The checksum that DuckDB stores with these bytes. */
export function checksum(bytes: Buffer): bigint {
  let sum = seed;
  const words = bytes.length >> 3;
  for (let word = 0; word < words; word++) sum ^= (bytes.readBigUInt64LE(word * 8) * factor) & mask;
  const rest = bytes.subarray(words * 8);
  return rest.length > 0 ? sum ^ remainder(rest) : sum;
}

/** Of the last 1 to 7 bytes: MurmurHash64A. */
function remainder(rest: Buffer): bigint {
  let hash = 0xe17a1465n ^ ((BigInt(rest.length) * remainderFactor) & mask);
  let word = 0n;
  for (const byte of [...rest].reverse()) word = (word << 8n) | BigInt(byte);
  hash = ((hash ^ word) * remainderFactor) & mask;
  hash ^= hash >> 47n;
  hash = (hash * remainderFactor) & mask;
  return hash ^ (hash >> 47n);
}

const byteOf = (change: bigint): number => {
  let byte = 0;
  while (((change >> BigInt(byte * 8)) & 0xffn) === 0n) byte++;
  return byte;
};
const isOneByte = (change: bigint): boolean => change >> BigInt(byteOf(change) * 8) < 256n;

/** The number whose product with this odd one is 1, modulo 2^64. */
function inverseOf(odd: bigint): bigint {
  let found = odd;
  for (let bits = 3; bits < 64; bits *= 2) found = (found * (2n - odd * found)) & mask;
  return found;
}
