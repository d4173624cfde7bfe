import { expect, it } from 'vitest';
import { RunId } from '@plumbline/shared/run';
import { examplesOf, tokenShift } from '../../test/support/large-events.js';
import { HubApi } from '../hub-api.js';
import { showLarge } from './large-events.js';

/** The printed lines for events from a hub. */
async function said(events: object[], flags: { tokens?: true; json?: true }): Promise<string[]> {
  const asked: string[] = [];
  class Answering extends HubApi {
    override get<T>(path: string): Promise<T> {
      asked.push(path);
      return Promise.resolve({ events } as T);
    }
  }
  const lines: string[] = [];
  await showLarge(new Answering('http://here'), { runId: RunId.parse('run-a') }, flags, (line) => lines.push(line));
  expect(asked).toEqual([`/runs/run-a/${flags.tokens ? 'token-shifts' : 'examples'}`]);
  // Ignores the widths of the columns.
  return flags.json ? lines : lines.map((line) => line.trim().split(/ {2,}/).join('|'));
}

it('lists the tokens of the newest shift of each kind of prompts, the largest gain first', async () => {
  const events = [tokenShift(2), tokenShift(3, 3, 'counting'), tokenShift(4)];
  expect(await said(events, { tokens: true })).toEqual([
    'held_out, step 4',
    ...['TOKEN|ID|BASE|NOW', '" three"|1115|0.00100|0.400'],
    '"\\"\\\\,é😀"|7|0.500|4.94e-324',
    'counting, step 3',
    ...['TOKEN|ID|BASE|NOW', '" three"|1115|0.00100|0.400'],
    '"\\"\\\\,é😀"|7|0.500|4.94e-324',
  ]);
  expect(await said([], { tokens: true })).toEqual(['Its trainer has sent no token shifts.']);
});

it('lists answers to examples beside those of the base, a line each', async () => {
  expect(await said([examplesOf(2), examplesOf(3, 9, 0)], {})).toEqual([
    'counting, step 9',
    'EXAMPLE|PROMPT|EXPECTED|BASE|NOW',
    'bare',
    'whole|how many "cubes",\\u000a\\ é😀 ?|三|red|(wrong)',
  ]);
  expect(JSON.parse((await said([examplesOf(2)], { json: true }))[0]!)).toEqual([examplesOf(2)]);
});
