import { createHash } from 'node:crypto';
import { open, readdir, readFile, rename, rm, mkdir, writeFile, type FileHandle } from 'node:fs/promises';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { diskRemedy } from './disk-remedies.js';
import { syncFolder, writeDurably } from './durable-file.js';
import { StoreUnavailableError } from './event-store.js';
import { FolderLock } from './folder-lock.js';

/*
 * An append-only log on disk. Its records survive the process and power cuts until `release`.
 *
 * Segments are named after the number of their first record. A record is
 *   4 bytes marker · 4 bytes length of the payload · 8 bytes number · 8 bytes checksum · payload
 * with little-endian integers; the checksum is the first 8 bytes of the SHA-256 of number and payload. (Node's own CRC
 * came later than the oldest Node supported, and the hash costs little beside the sync to disk.)
 * `lock.duckdb` is empty, and locked while a process has the log open.
 * The file `cursor` has the number up to which everything is released. It may lag behind: reading a released record again
 * is harmless.
 */

const marker = Buffer.from([0x9d, 0x50, 0x4c, 0x0a]);
const headerBytes = 24;
/** A trainer's unanswered messages, 32 MiB, in which every other byte becomes seven: `é` is `\\u00e9` in a line. */
const maxRecordBytes = 128 << 20;

export interface SpoolOptions {
  /** Bytes on disk above which `append` refuses, so that senders wait. Nothing is ever dropped to make room. */
  maxBytes?: number;
  segmentBytes?: number;
  /** Called for each place where the disk returned something else than was written. */
  onDamage?: (damage: Damage) => void;
}
const defaults = { maxBytes: 4 * 2 ** 30, segmentBytes: 32 << 20, onDamage: () => undefined };

/** Bytes that no longer hold a record. The original segment is kept beside it as `<segment>.damaged`. */
export interface Damage {
  segment: string;
  /** `torn`: the end of the last segment, where a power cut leaves an unacknowledged record. */
  kind: 'torn' | 'damaged';
  offset: number;
  bytes: number;
  /** Range of missing record numbers, both included; absent where only unacknowledged bytes were lost. */
  missing: { from: number; to: number } | null;
}

export interface SpoolRecord {
  number: number;
  payload: Buffer;
}

/** The spool is full and nothing was written. Try again when records have been released. */
export class SpoolFullError extends StoreUnavailableError {
  override name = 'SpoolFullError';
}

interface Segment {
  first: number;
  bytes: number;
}
interface Waiting {
  payload: Buffer;
  resolve: (number: number) => void;
  reject: (error: unknown) => void;
}

export class Spool {
  readonly #options: Required<SpoolOptions>;
  #segments: Segment[] = [];
  #file: FileHandle | null = null;
  #next = 1;
  /** Number of the last released record. */
  #released = 0;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | null = null;
  /** Wall time of the oldest unreleased record, if known to this process. */
  #times: { number: number; atMs: number }[] = [];
  #lock: FolderLock | null = null;
  #closed = false;

  private constructor(
    readonly folder: string,
    options: SpoolOptions,
  ) {
    this.#options = { ...defaults, ...options };
    // Space is freed one segment at a time.
    this.#options.segmentBytes = Math.min(this.#options.segmentBytes, this.#options.maxBytes / 4);
  }

  /**
   * Opens the log of a folder, checks its content and repairs a torn end. The folder is locked until `close` or the end of
   * the process: two owners would delete each other's segments.
   * @throws StoreInUseError when another process has it open, StoreUnavailableError when the folder cannot be used
   */
  static async open(folder: string, options: SpoolOptions = {}): Promise<Spool> {
    const spool = new Spool(folder, options);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      spool.#lock = await FolderLock.take(folder);
      await spool.#load();
    } catch (error) {
      await spool.close();
      throw unavailable(folder, error);
    }
    return spool;
  }

  /** Number of unreleased records. */
  get depth(): number {
    return this.#next - 1 - this.#released;
  }
  /** Bytes on disk, including released records in the oldest segment. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }
  /** Age of the oldest unreleased record in ms, or 0. */
  ageMs(nowMs: number = Date.now()): number {
    return this.#times.length > 0 ? Math.max(0, nowMs - this.#times[0]!.atMs) : 0;
  }
  get released(): number {
    return this.#released;
  }
  get last(): number {
    return this.#next - 1;
  }

  /**
   * Adds a record. Resolves with its number once it is on disk (fdatasync); waiting records share one sync.
   * @throws SpoolFullError, StoreUnavailableError when nothing was kept
   */
  append(payload: Buffer): Promise<number> {
    if (this.#closed) return Promise.reject(new StoreUnavailableError('The spool is closed.'));
    if (payload.length > maxRecordBytes) return Promise.reject(new RangeError('A record holds at most 128 MiB.'));
    // An empty spool accepts a record of any size: no delivery could make more room.
    const holdsSomething = this.depth > 0 || this.#waitingBytes > 0;
    if (holdsSomething && this.bytes + this.#waitingBytes + payload.length + headerBytes > this.#options.maxBytes)
      return Promise.reject(
        new SpoolFullError(
          `The spool ${this.folder} is full (${Math.round(this.bytes / 2 ** 20)} MiB wait to be delivered). ` +
            'Trainers wait until it drains: see why InfluxDB does not take it, or raise PLUMBLINE_SPOOL_MAX_MB.',
        ),
      );
    this.#waitingBytes += payload.length + headerBytes;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ payload, resolve, reject });
      this.#writing ??= this.#drain().finally(() => (this.#writing = null));
    });
  }

  /** Reads the unreleased records in order, as they are on disk at the time of the call. */
  async *read(after: number = this.#released): AsyncGenerator<SpoolRecord> {
    const last = this.last;
    for (const segment of [...this.#segments]) {
      const next = this.#segments[this.#segments.indexOf(segment) + 1]?.first ?? Infinity;
      if (next <= after + 1) continue;
      if (segment.first > last) return;
      const content = await readFile(this.#path(segment.first)).catch((error: NodeJS.ErrnoException) => {
        // The segment was released meanwhile.
        if (error.code === 'ENOENT' && segment.first <= this.#released) return null;
        throw unavailable(this.folder, error);
      });
      if (!content) continue;
      for (const { record } of recordsIn(content)) if (record.number > after && record.number <= last) yield record;
    }
  }

  /** Releases everything up to this number, and deletes segments with nothing else in them. */
  async release(number: number): Promise<void> {
    if (number <= this.#released) return;
    this.#released = Math.min(number, this.last);
    while (this.#times.length > 0 && this.#times[0]!.number <= this.#released) this.#times.shift();
    try {
      // Not synced: a cursor lost in a power cut only costs a second delivery.
      await writeFile(`${this.#cursorPath}.writing`, cursorOf(this.#released));
      await rename(`${this.#cursorPath}.writing`, this.#cursorPath);
      while (this.#segments.length > 1 && this.#segments[1]!.first <= this.#released + 1) {
        const { first } = this.#segments.shift()!;
        await rm(this.#path(first), { force: true });
      }
    } catch (error) {
      throw unavailable(this.folder, error);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    await this.#file?.close();
    this.#file = null;
    await this.#lock?.release();
    this.#lock = null;
  }

  get #cursorPath(): string {
    return join(this.folder, 'cursor');
  }
  #path(first: number): string {
    return join(this.folder, `${String(first).padStart(16, '0')}.log`);
  }

  async #load(): Promise<void> {
    const names = (await readdir(this.folder)).filter((name) => /^\d{16}\.log$/.test(name)).sort();
    const cursor = await readFile(this.#cursorPath, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      return null;
    });
    const beforeAll = Math.max(0, Number(names[0]?.slice(0, 16) ?? 1) - 1);
    // A damaged cursor means delivering everything again, which is harmless.
    this.#released = cursor === null ? 0 : (releasedIn(cursor) ?? beforeAll);
    this.#next = this.#released + 1;
    const atMs = Date.now();
    for (const [index, name] of names.entries()) {
      const path = join(this.folder, name);
      const content = await readFile(path);
      const isLast = index === names.length - 1;
      const expected = Number(name.slice(0, 16));
      // Segments are contiguous: a missing file shows as a gap in the numbers.
      if (index > 0 && expected > this.#next) this.#report(name, 0, 0, false, this.#next, expected - 1);
      if (index === 0 && expected > this.#released + 1)
        this.#report(name, 0, 0, false, this.#released + 1, expected - 1);
      const kept: SpoolRecord[] = [];
      let next = index === 0 ? expected : Math.max(expected, this.#next);
      let end = 0;
      let damaged = false;
      for (const { record, offset } of recordsIn(content)) {
        if (offset > end || record.number > next) {
          this.#report(name, end, offset - end, false, next, record.number - 1);
          damaged = true;
        }
        kept.push(record);
        next = record.number + 1;
        end = offset + headerBytes + record.payload.length;
      }
      if (end < content.length) {
        const following = names[index + 1] === undefined ? null : Number(names[index + 1]!.slice(0, 16));
        this.#report(name, end, content.length - end, isLast, next, following === null ? next - 1 : following - 1);
        damaged = true;
        next = following ?? next;
      }
      this.#next = Math.max(this.#next, next);
      if (damaged) {
        copyFileSync(path, `${path}.damaged`);
        await writeDurably(path, Buffer.concat(kept.map(({ number, payload }) => encode(number, payload))));
      }
      const bytes = kept.reduce((sum, { payload }) => sum + headerBytes + payload.length, 0);
      this.#segments.push({ first: expected, bytes });
    }
    if (this.depth > 0) this.#times.push({ number: this.last, atMs });
    const last = this.#segments.at(-1);
    if (last) this.#file = await open(this.#path(last.first), 'a');
  }

  #report(segment: string, offset: number, bytes: number, isTail: boolean, from: number, to: number): void {
    const missing = to >= from && to > this.#released ? { from: Math.max(from, this.#released + 1), to } : null;
    this.#options.onDamage({ segment, kind: isTail ? 'torn' : 'damaged', offset, bytes, missing });
  }

  async #drain(): Promise<void> {
    // Calls of the same tick share the first sync.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        const first = this.#next;
        await this.#write(batch.map(({ payload }, i) => encode(first + i, payload)));
        this.#next += batch.length;
        this.#times.push({ number: this.last, atMs: Date.now() });
        batch.forEach(({ resolve }, i) => resolve(first + i));
      } catch (error) {
        for (const { reject } of batch) reject(unavailable(this.folder, error));
      } finally {
        for (const { payload } of batch) this.#waitingBytes -= payload.length + headerBytes;
      }
    }
  }

  /** Writes all of it to disk, or nothing. */
  async #write(records: Buffer[]): Promise<void> {
    let segment = this.#segments.at(-1);
    if (!segment || !this.#file || segment.bytes >= this.#options.segmentBytes) {
      await this.#file?.close();
      this.#file = null;
      segment = { first: this.#next, bytes: 0 };
      this.#file = await open(this.#path(segment.first), 'w', 0o600);
      await syncFolder(this.folder);
      this.#segments.push(segment);
    }
    const content = Buffer.concat(records);
    try {
      await this.#file.appendFile(content);
      await this.#file.datasync();
    } catch (error) {
      // Cuts off a partial write to a full disk, so that the next record follows the last complete one.
      await this.#file.truncate(segment.bytes).catch(() => undefined);
      await this.#file.close().catch(() => undefined);
      this.#file = await open(this.#path(segment.first), 'a').catch(() => null);
      if (!this.#file) this.#segments = this.#segments.filter((known) => known !== segment || known.bytes > 0);
      throw error;
    }
    segment.bytes += content.length;
  }
}

/** The cursor with a checksum: an altered number would release undelivered records. */
function cursorOf(released: number): string {
  return `${released} ${createHash('sha256').update(String(released)).digest('hex').slice(0, 16)}\n`;
}

/** Parses a cursor, also one from versions without a checksum; null where it is damaged. */
function releasedIn(cursor: string): number | null {
  const number = /^\d+/.exec(cursor)?.[0];
  return number !== undefined && (cursor === number || cursor === cursorOf(Number(number))) ? Number(number) : null;
}

function checksum(number: Buffer, payload: Buffer): Buffer {
  return createHash('sha256').update(number).update(payload).digest().subarray(0, 8);
}

function encode(number: number, payload: Buffer): Buffer {
  const record = Buffer.allocUnsafe(headerBytes + payload.length);
  marker.copy(record, 0);
  record.writeUInt32LE(payload.length, 4);
  record.writeBigUInt64LE(BigInt(number), 8);
  checksum(record.subarray(8, 16), payload).copy(record, 16);
  payload.copy(record, headerBytes);
  return record;
}

/** The intact records of a segment with their positions; damage is skipped to the next marker. */
function* recordsIn(content: Buffer): Generator<{ record: SpoolRecord; offset: number }> {
  let offset = 0;
  while (offset + headerBytes <= content.length) {
    const record = recordAt(content, offset);
    if (record) {
      yield { record, offset };
      offset += headerBytes + record.payload.length;
      continue;
    }
    const next = content.indexOf(marker, offset + 1);
    if (next < 0) return;
    offset = next;
  }
}

function recordAt(content: Buffer, offset: number): SpoolRecord | null {
  if (!content.subarray(offset, offset + 4).equals(marker)) return null;
  const length = content.readUInt32LE(offset + 4);
  const end = offset + headerBytes + length;
  if (end > content.length) return null;
  const payload = content.subarray(offset + headerBytes, end);
  const number = content.subarray(offset + 8, offset + 16);
  if (!checksum(number, payload).equals(content.subarray(offset + 16, offset + 24))) return null;
  return { number: Number(number.readBigUInt64LE()), payload };
}

function unavailable(folder: string, error: unknown): StoreUnavailableError {
  if (error instanceof StoreUnavailableError) return error;
  const cause = error instanceof Error ? error.message : String(error);
  const advice = diskRemedy(cause, folder) ?? 'It failed.';
  return new StoreUnavailableError(`The spool ${folder}: ${advice} (${cause})`, { cause: error });
}
