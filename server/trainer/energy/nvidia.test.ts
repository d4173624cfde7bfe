import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { NvidiaPower } from './nvidia.js';
import type { MachineUse } from './power-source.js';

const lasting = (seconds: number): MachineUse => ({
  ...{ seconds, processSeconds: seconds, busySeconds: seconds, idleSeconds: 0, residentGb: 1 },
});

const until = (expected: () => void): Promise<void> => vi.waitFor(expected, { timeout: 10_000 });

describe('nvidia-smi', () => {
  let folder: string;
  let source: NvidiaPower | undefined;
  const path = process.env['PATH'];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'plumbline-nvidia-'));
    process.env['PATH'] = `${folder}${delimiter}${path}`;
    delete process.env['CUDA_VISIBLE_DEVICES'];
  });
  afterEach(() => {
    source?.close();
    source = undefined;
    process.env['PATH'] = path;
    delete process.env['CUDA_VISIBLE_DEVICES'];
    rmSync(folder, { recursive: true, force: true });
  });

  /**
   * A stand-in for nvidia-smi: it lists processes at once and reports power as the script says.
   * @param says shell lines; `go NAME` waits until the test lets it go on
   */
  function program(says: string, processes = ''): void {
    const file = join(folder, 'nvidia-smi');
    writeFileSync(
      file,
      `#!/bin/sh
echo "$@" >> ${folder}/calls
go() { while [ ! -e ${folder}/$1 ]; do sleep 0.02; done; }
case "$1" in --query-compute-apps*) echo '${processes}'; exit 0;; esac
${says}
`,
    );
    chmodSync(file, 0o755);
  }
  const letGo = (name: string): void => writeFileSync(join(folder, name), '');
  const calls = (): string => readFileSync(join(folder, 'calls'), 'utf8');
  async function opened(): Promise<NvidiaPower> {
    const result = await NvidiaPower.open();
    if (!('source' in result)) throw new Error(result.unavailable);
    return (source = result.source!);
  }

  it('integrates power over the time of its samples', async () => {
    program(`
echo '2026/03/01 23:59:58.500, 0, 100.00'
go more
echo '2026/03/01 23:59:59.500, 0, 200.00'
echo '2026/03/02 00:00:01.500, 0, 100.00'
go end`);
    const power = await opened();
    expect(power.measured).toEqual(['GPU 0 by nvidia-smi']);
    letGo('more');
    power.advance(lasting(3));
    // 1 s at 150 W and 2 s at 150 W.
    await until(() => expect(power.energy.joules).toBeCloseTo(450, 6));
    expect(power.energy.measured).toBe(power.energy.joules);
    expect(power.energy.low).toBeCloseTo(405, 6);
    expect(power.energy.high).toBeCloseTo(495, 6);
    // The time after the last sample counts at the mean.
    power.advance(lasting(0.5));
    expect(power.energy.joules).toBeCloseTo(525, 6);
  });

  it('bridges a missing reading and a clock that was set', async () => {
    program(`
echo '2026/03/29 01:59:58.000, 0, 100.00'
go more
echo '2026/03/29 01:59:59.000, 0, [N/A]'
echo '2026/03/29 02:00:00.000, 0, [Unknown Error]'
echo '2026/03/29 02:00:02.000, 0, 100.00'
echo '2026/03/29 03:00:03.000, 0, 100.00'
echo '2026/03/29 02:00:04.000, 0, 100.00'
go end`);
    const power = await opened();
    letGo('more');
    // 4 s between numbers, then two steps of the clock that count as one period each.
    await until(() => expect(power.energy.joules).toBeCloseTo(600, 6));
  });

  it('says so when the GPU shows no power', async () => {
    program(`echo '2026/03/01 12:00:00.000, 0, [N/A]'; go end`);
    expect(await NvidiaPower.open()).toEqual({ unavailable: expect.stringMatching(/no power.*\[N\/A\]/) });
  });

  it('adds the GPUs in use and leaves out one without power', async () => {
    const mine = `${process.pid}, GPU-aaaa\n1, GPU-other\n${process.pid}, GPU-bbbb\n${process.pid}, GPU-cccc`;
    program(
      `
echo '2026/03/01 12:00:00.000, 1, 50.00'
echo '2026/03/01 12:00:00.001, 2, [N/A]'
echo '2026/03/01 12:00:00.002, 3, 70.00'
go end`,
      mine,
    );
    const power = await opened();
    expect(calls()).toContain('--id=GPU-aaaa,GPU-bbbb,GPU-cccc --loop-ms=1000');
    expect(power.measured).toEqual(['GPU 1, 3 by nvidia-smi (GPU 2 shows no power and is left out)']);
    power.advance(lasting(10));
    expect(power.energy.joules).toBeCloseTo(1200, 6);
  });

  it('takes the GPUs of CUDA_VISIBLE_DEVICES if the driver hides processes', async () => {
    process.env['CUDA_VISIBLE_DEVICES'] = '3';
    program(`echo '2026/03/01 12:00:00.000, 3, 50.00'; go end`, 'No running processes found');
    await opened();
    expect(calls()).toContain('--id=3 ');
  });

  it('extrapolates at the mean, no longer as measured, when nvidia-smi dies during a run', async () => {
    program(`
echo '2026/03/01 12:00:00.000, 0, 100.00'
go more
echo '2026/03/01 12:00:02.000, 0, 300.00'
go die
echo 'Unable to determine the device handle for GPU0: Unknown Error'
exit 15`);
    const said = vi.spyOn(console, 'error').mockImplementation(() => {});
    const power = await opened();
    letGo('more');
    power.advance(lasting(2));
    await until(() => expect(power.energy.joules).toBeCloseTo(400, 6));
    letGo('die');
    await until(() => expect(said).toHaveBeenCalledWith(expect.stringMatching(/ended \(15\).*device handle/)));
    said.mockRestore();
    power.advance(lasting(3));
    expect(power.energy.measured).toBeCloseTo(400, 6);
    expect(power.energy.joules).toBeCloseTo(400 + 600, 6);
    expect(power.energy.low).toBeCloseTo(360 + 300, 6);
    expect(power.energy.high).toBeCloseTo(440 + 1200, 6);
  });

  it('says why it is unavailable: ended at once, or not installed', async () => {
    program(`echo 'No devices were found'; exit 6`);
    expect(await NvidiaPower.open()).toEqual({ unavailable: expect.stringContaining('No devices were found') });
    rmSync(join(folder, 'nvidia-smi'));
    process.env['PATH'] = folder;
    expect(await NvidiaPower.open()).toEqual({ unavailable: 'nvidia-smi is not on PATH.' });
  });

  it('ends its process when closed', async () => {
    program(`echo $$ > ${folder}/pid; echo '2026/03/01 12:00:00.000, 0, 50.00'; go end`);
    const power = await opened();
    const pid = readFileSync(join(folder, 'pid'), 'utf8').trim();
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    power.close();
    await until(() => expect(() => process.kill(Number(pid), 0)).toThrow());
  });
});
