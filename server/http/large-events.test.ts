import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ControlEventsResponse, LargeEventsResponse } from '@plumbline/shared/http';
import type { Examples, TokenShift } from '@plumbline/shared/large-event';
import type { LargeEventNotice } from '@plumbline/shared/large-event-notice';
import type { RunId } from '@plumbline/shared/run';
import type { ControlEvent, TrainerEvent } from '@plumbline/shared/trainer-event';
import { examplesOf, largeExamples, tokenShift } from '../../test/support/large-events.js';
import {
  aRunId,
  attachment,
  eventually,
  finished,
  started,
  stepped,
  TestHub,
  testTimeMs,
  type TrainerEnd,
} from '../../test/support/test-hub.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start({ trainerGraceMs: 300 });
});
afterAll(() => hub.remove());

const examples = (runId: RunId, query = ''): Promise<LargeEventsResponse<Examples>> =>
  hub.get(`/runs/${runId}/examples${query}`);
const send = (trainer: TrainerEnd, events: unknown[]): Promise<unknown> =>
  trainer.emitWithAck('events', { events: events as TrainerEvent[] as never });

describe('examples and token shifts of a run', () => {
  it('are answered by routes of their own, and not among its events', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const events = [started(), tokenShift(2), examplesOf(3), stepped(4), examplesOf(5), finished(6)];
    expect(await send(trainer, events)).toEqual({ ok: true, lastSeq: 6 });

    expect(await examples(runId)).toEqual({ runId, lastSeq: 6, earlier: 0, events: [examplesOf(3), examplesOf(5)] });
    expect(await examples(runId, '?newest=1')).toMatchObject({ earlier: 1, events: [{ seq: 5 }] });
    expect(await examples(runId, '?beforeSeq=5&toStep=4')).toMatchObject({ earlier: 0, events: [{ seq: 3 }] });
    expect(await hub.get<LargeEventsResponse<TokenShift>>(`/runs/${runId}/token-shifts?fromStep=2`)).toEqual({
      ...{ runId, lastSeq: 6, earlier: 0, events: [tokenShift(2)] },
    });
    const { events: control } = await hub.get<ControlEventsResponse>(`/runs/${runId}/events`);
    expect(control.map(({ seq }) => seq)).toEqual([1, 6]);
  });

  it('are JSON, whatever a picture says it is, and are asked for by known ranges', async () => {
    const runId = aRunId();
    await send(await hub.attached(runId), [started(), examplesOf(2)]);
    const { headers } = await hub.request('GET', `/runs/${runId}/examples`);
    expect(headers.get('content-type')).toMatch(/^application\/json/);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    for (const query of ['newest=0', 'newest=201', 'maxBytes=99999999', 'beforeSeq=x', 'fromStep=-1'])
      expect((await hub.request('GET', `/runs/${runId}/examples?${query}`)).status, query).toBe(400);
    expect((await hub.request('GET', '/runs/nowhere/token-shifts')).status).toBe(404);
  });

  it('are as many in one answer as its bytes allow, the newest', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await send(trainer, [started(), ...[2, 3, 4, 5, 6].map((seq) => largeExamples(seq))]);
    const answer = await examples(runId);
    expect(answer).toMatchObject({ earlier: 1, events: [3, 4, 5, 6].map((seq) => ({ seq })) });
    expect(answer.events).toEqual([3, 4, 5, 6].map((seq) => largeExamples(seq)));
    expect((await examples(runId, '?maxBytes=1')).events).toEqual([largeExamples(6)]);
  });

  it('reach a browser as a word only, in the order of the run', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await send(trainer, [started()]);
    const told: (ControlEvent | LargeEventNotice)[] = [];
    const dashboard = hub.dashboard();
    dashboard.on('control', ({ event }) => told.push(event));
    const batches: { fromSeq: number; toSeq: number }[] = [];
    dashboard.on('metrics', ({ fromSeq, toSeq }) => batches.push({ fromSeq, toSeq }));
    await dashboard.emitWithAck('watch', { runId });
    await send(trainer, [largeExamples(2), tokenShift(3), stepped(4), finished(5)]);
    await eventually(() => told.some(({ type }) => type === 'run_finished'));
    const { examples: _, ...rest } = largeExamples(2);
    const { tokens: _tokens, ...shift } = tokenShift(3);
    expect(told).toEqual([{ ...rest, count: 24 }, { ...shift, count: 2 }, finished(5)]);
    expect(batches).toEqual([{ fromSeq: 3, toSeq: 4 }]);
  });

  it('lose only what is broken in them, and their trainer is told', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const [bare, whole, pictured] = examplesOf(2).examples as [object, object, object];
    const answer = await send(trainer, [
      started(),
      {
        ...examplesOf(2),
        examples: [
          bare,
          { ...whole, prompt: 5 },
          { ...pictured, picture: { mediaType: 'image/png', base64: 'PHN2Zz4=' } },
        ],
      },
      { ...tokenShift(3), tokens: [...tokenShift(3).tokens, { token: 'x', id: 1, base: 0.5, now: 'NaN' }] },
    ]);
    expect(answer).toMatchObject({
      ok: true,
      lastSeq: 3,
      problems: [
        { seq: 2, series: null, problem: expect.stringMatching(/^example 1\.prompt: .*; it is left out$/) as string },
        {
          ...{ seq: 2, series: null },
          problem: expect.stringMatching(/^example 2\.picture\.base64: .*it is stored without its picture$/) as string,
        },
        { seq: 3, series: null, problem: expect.stringMatching(/^token 2\.now: a probability/) as string },
      ],
    });
    const { picture: _, ...withoutPicture } = pictured as { picture: unknown };
    expect((await examples(runId)).events[0]!.examples).toEqual([bare, withoutPicture]);
    const [shift] = (await hub.get<LargeEventsResponse<TokenShift>>(`/runs/${runId}/token-shifts`)).events;
    expect(shift).toEqual(tokenShift(3));
  });

  it('are refused with the limit and the remedy where there are too many', async () => {
    const trainer = await hub.attached(aRunId());
    for (const [event, words] of [
      [examplesOf(2, 2, 24, 65_000), /event 2 \(examples\).*send them in several events/],
      [examplesOf(2, 2, 199), /event 2 \(examples\): at most 200 examples/],
      [{ ...tokenShift(2), tokens: Array(201).fill(tokenShift(2).tokens[0]) }, /\(token_shift\): at most 200 tokens/],
    ] as const)
      expect(await send(trainer, [started(), event])).toMatchObject({
        ok: false,
        error: { code: 'invalid', message: expect.stringMatching(words) as string },
      });
  });

  it('are left out where a later segment has superseded them, and go with the run', async () => {
    const runId = aRunId();
    const first = await hub.attached(runId);
    await send(first, [started(), examplesOf(2, 1), examplesOf(3, 5), { ...finished(4), step: 5 }]);
    first.disconnect();
    await hub.until(runId, ({ state, trainerConnected }) => state === 'finished' && !trainerConnected);
    const second = hub.trainer();
    await second.emitWithAck('attach', { ...attachment(runId), newSegment: true });
    const segment = { type: 'segment_started', seq: 5, step: 2, fromStep: 2, wallTimeMs: testTimeMs };
    await send(second, [segment, examplesOf(6, 5), { ...finished(7), step: 5 }]);
    second.disconnect();
    await hub.until(runId, ({ state, trainerConnected }) => state === 'finished' && !trainerConnected);
    expect((await examples(runId)).events.map(({ seq }) => seq)).toEqual([2, 6]);
    const cookie = await hub.cookie();
    const deleted = await hub.request('DELETE', `/runs/${runId}`, undefined, { cookie, origin: hub.url });
    expect(deleted.status).toBe(200);
    expect((await hub.request('GET', `/runs/${runId}/examples`)).status).toBe(404);
    expect(await hub.hub.runs.store.events(runId, 1, 10)).toEqual([]);
  });
});
