import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HubProcess } from '../support/hub-process.js';
import type { Outcome } from './cases.js';
import { hubCases } from './hub-cases.js';
import { tryHub, tryTrainer } from './play.js';
import { refusedTrainerCases, trainerCases } from './trainer-cases.js';

const failures = (outcomes: Outcome[]): Outcome[] => outcomes.filter(({ state }) => state !== 'passed');

describe('conformance', () => {
  describe('of the hub', () => {
    let hub: HubProcess;
    beforeAll(async () => void (hub = await HubProcess.start()));
    afterAll(() => hub.remove());

    it('passes every case', async () => {
      const outcomes = await tryHub({
        url: hub.url,
        token: hub.trainerToken,
        async killAndRestart() {
          await hub.kill();
          await hub.start();
        },
      });
      expect(failures(outcomes)).toEqual([]);
      expect(outcomes).toHaveLength(hubCases.length);
    });
  });

  it('of the built-in trainer passes every case', async () => {
    const outcomes = await tryTrainer('test/conformance/built-in-trainer.sh');
    expect(failures(outcomes)).toEqual([]);
    expect(outcomes).toHaveLength(trainerCases.length + refusedTrainerCases.length);
  });
});
