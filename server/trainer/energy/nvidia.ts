import { execFile, spawn, type ChildProcess, type ExecFileException } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Energy, MachineUse, Opened, PowerSource } from './power-source.js';

/**
 * Margin of the sum over a run. The driver's own figure is 5 % of the current draw; A100 and H100 sample only a quarter
 * of the time (arXiv 2312.02741), so this project doubles it.
 */
const sensorMargin = 0.1;
/** Margin of the extrapolation at the mean so far, once the sensor is gone. */
const carriedMargin = { low: 0.5, high: 2 };
const periodMs = 1000;
/** A driver that is not loaded yet takes a few seconds to its first line. */
const firstWordMs = 10_000;
const silent = `nvidia-smi said nothing in ${firstWordMs / 1000} s.`;
/** A longer gap between two lines means that the clock was set or the machine slept. */
const longestGapSeconds = 60;

/** One GPU's power over time, integrated by trapezoids between samples. */
class Board {
  joules = 0;
  seconds = 0;
  #atMs: number | null = null;
  #watts = 0;

  sample(atMs: number, watts: number): void {
    if (this.#atMs !== null) {
      const gap = (atMs - this.#atMs) / 1000;
      const seconds = gap >= 0 && gap <= longestGapSeconds ? gap : periodMs / 1000;
      this.joules += (seconds * (this.#watts + watts)) / 2;
      this.seconds += seconds;
    }
    [this.#atMs, this.#watts] = [atMs, watts];
  }

  get meanWatts(): number {
    return this.seconds > 0 ? this.joules / this.seconds : this.#watts;
  }
}

/**
 * Power of the GPUs in use, as whole boards, read once a second by `nvidia-smi` in a process of its own. Time before
 * the first sample and after the last counts at the mean. If nvidia-smi ends, the rest of the run is extrapolated at
 * the mean so far and no longer counts as measured.
 */
export class NvidiaPower implements PowerSource {
  readonly modelled: readonly string[] = [];
  /** Boards by nvidia-smi's index; null for a GPU that reports no power. */
  readonly #boards = new Map<string, Board | null>();
  /** Seconds since it was opened, and the part of them in which nvidia-smi ran. */
  #seconds = 0;
  #sensedSeconds = 0;
  #ended = false;
  #lastLine = '';

  private constructor(private readonly child: ChildProcess) {
    for (const stream of [child.stdout!, child.stderr!])
      createInterface({ input: stream }).on('line', (line) => this.#take(line));
  }

  static async open(processId = process.pid): Promise<Opened & { source?: NvidiaPower }> {
    let gpus: string[];
    try {
      gpus = await gpusOf(processId);
    } catch (error) {
      const { code, killed, message } = error as ExecFileException;
      if (code === 'ENOENT') return { unavailable: 'nvidia-smi is not on PATH.' };
      return { unavailable: killed ? silent : `nvidia-smi failed: ${message.trim()}.` };
    }
    // If this process is killed, its output pipe closes, which ends it too.
    const child = spawn(
      'nvidia-smi',
      [`--query-gpu=${columns}`, '--format=csv,noheader,nounits', `--id=${gpus.join(',')}`, `--loop-ms=${periodMs}`],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const source = new NvidiaPower(child);
    const problem = await source.#heard(gpus.length);
    if (problem) {
      source.close();
      return { unavailable: problem };
    }
    child.unref();
    if (child.exitCode !== null) source.#end(child.exitCode);
    else child.once('exit', (code, signal) => source.#end(code ?? signal));
    return { source };
  }

  get measured(): string[] {
    const [known, unknown] = [true, false].map((has) =>
      [...this.#boards].flatMap(([index, board]) => ((board !== null) === has ? [index] : [])).join(', '),
    );
    return [`GPU ${known} by nvidia-smi${unknown ? ` (GPU ${unknown} shows no power and is left out)` : ''}`];
  }

  advance({ seconds }: MachineUse): void {
    this.#seconds += seconds;
    if (!this.#ended) this.#sensedSeconds += seconds;
  }

  get energy(): Energy {
    let [measured, carried] = [0, 0];
    for (const board of this.#boards.values()) {
      if (!board) continue;
      measured += board.joules + board.meanWatts * Math.max(0, this.#sensedSeconds - board.seconds);
      carried += board.meanWatts * (this.#seconds - this.#sensedSeconds);
    }
    return {
      joules: measured + carried,
      low: measured * (1 - sensorMargin) + carried * carriedMargin.low,
      high: measured * (1 + sensorMargin) + carried * carriedMargin.high,
      measured,
    };
  }

  close(): void {
    this.child.removeAllListeners('exit');
    this.child.kill();
  }

  /**
   * Waits until every GPU has reported. @returns the reason why there is no reading; empty when at least one GPU has
   * power
   */
  async #heard(count: number): Promise<string> {
    const ended = once(this.child, 'close');
    ended.catch(() => undefined);
    const deadline = performance.now() + firstWordMs;
    while (this.#boards.size < count) {
      const end = await Promise.race([
        ended.then(() => `nvidia-smi ended: ${this.#lastLine}`, String),
        sleep(20, '', { ref: true }),
      ]);
      if (end && this.#boards.size < count) return end;
      if (performance.now() > deadline) return silent;
    }
    return [...this.#boards.values()].some((board) => board !== null)
      ? ''
      : `nvidia-smi shows no power of this GPU (${this.#lastLine}).`;
  }

  #take(line: string): void {
    this.#lastLine = line.trim();
    const match = sampleLine.exec(this.#lastLine);
    if (!match) return;
    const [year, month, day, hour, minute, second, millisecond] = match.slice(1, 8).map(Number) as SevenNumbers;
    const index = match[8]!;
    const watts = match[9]!.trim() === '' ? NaN : Number(match[9]);
    const board = this.#boards.get(index);
    // The first line decides whether a GPU counts; a single reading that is missing later is bridged.
    if (board === undefined) this.#boards.set(index, Number.isFinite(watts) ? new Board() : null);
    if (Number.isFinite(watts))
      this.#boards.get(index)?.sample(Date.UTC(year, month - 1, day, hour, minute, second, millisecond), watts);
  }

  #end(how: unknown): void {
    this.#ended = true;
    console.error(
      `nvidia-smi ended (${String(how)}): ${this.#lastLine}. The GPU's energy is now extrapolated at its mean so far.`,
    );
  }
}

const columns = 'timestamp,index,power.draw';
/** `2026/03/01 12:00:00.123, 0, 71.52`; the last field may also be `[N/A]`, `[Not Supported]`, `[Unknown Error]`. */
const sampleLine = /^(\d{4})\/(\d\d)\/(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{3}), (\d+), (.*)$/;
type SevenNumbers = [number, number, number, number, number, number, number];

/**
 * The GPUs of a process, in the form of nvidia-smi's --id. If a container hides its processes from the driver, these
 * are the GPUs of CUDA_VISIBLE_DEVICES, else the first GPU.
 */
async function gpusOf(processId: number): Promise<string[]> {
  const query = ['--query-compute-apps=pid,gpu_uuid', '--format=csv,noheader'];
  const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: firstWordMs });
  const own = stdout.split('\n').flatMap((line) => {
    const [pid, gpu] = line.split(',').map((word) => word.trim());
    return Number(pid) === processId && gpu ? [gpu] : [];
  });
  if (own.length > 0) return own;
  const visible = (process.env['CUDA_VISIBLE_DEVICES'] ?? '').split(',').filter((word) => word.trim() !== '');
  return visible.length > 0 ? visible : ['0'];
}
