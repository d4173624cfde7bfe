import { readable, readHonestly, withRun } from './attacked-run.js';
import { firstOf, short, type Attack } from './attack.js';
import { neither, notRefused } from './hostile-trainer.js';
import type { Reply } from './raw-clients.js';
import type { Victim } from './victim.js';

/* Single steps with odd values: each is accepted and comes back unchanged, or is refused with a message. */

const quoted = JSON.stringify;

/** Checks that an accepted event is in the export unchanged, except for unknown fields. */
async function comesBack(victim: Victim, runId: string, given: Record<string, unknown>): Promise<string | null> {
  const { body } = await readHonestly(victim, `/api/runs/${runId}/export`);
  const line = body.split('\n').find((text) => text.includes('"step_completed"'));
  const stored = JSON.parse(line ?? '{}') as Record<string, unknown>;
  const values = Object.values((stored['metrics'] ?? {}) as object);
  const differs = ['seq', 'step', 'stage', 'wallTimeMs', 'values'].find(
    (key) => quoted(key === 'values' ? values : stored[key]) !== quoted(finiteOrWord(given[key])),
  );
  return differs
    ? `its ${differs} was taken as ${short(quoted(given[differs]), 60)} and is ${short(quoted(stored[differs]) ?? 'gone', 60)}`
    : null;
}
/** JSON cannot express numbers beyond the range. */
const finiteOrWord = (value: unknown): unknown =>
  Array.isArray(value) ? value.map((each) => (each === Infinity ? 'Infinity' : each)) : value;

/** One step with an odd value, given as text; it is accepted or refused, and the run can be read afterwards. */
const oddStep = (
  what: string,
  fields: Record<string, string>,
  /** Null if part of it may be left out: then it need not come back whole. */
  judge: ((reply: Reply) => string | null) | null = neither,
): Attack => ({
  name: `trainer: ${what}`,
  run: (victim) =>
    withRun(victim, async (trainer, runId) => {
      const usual = {
        type: '"step_completed"',
        seq: '2',
        step: '1',
        stage: '0',
        wallTimeMs: '1700000000000',
        series: '[0]',
        values: '[1]',
      };
      await trainer.events([trainer.declares(1, ['train/loss'])]);
      const event = Object.entries({ ...usual, ...fields }).map(([key, value]) => `${quoted(key)}:${value}`);
      const reply = await trainer.ask('events', `{"events":[{${event.join()}}]}`);
      return firstOf(
        (judge ?? neither)(reply),
        judge !== null &&
          reply.kind === 'answer' &&
          reply.ok &&
          (await comesBack(victim, runId, JSON.parse(`{${event.join()}}`))),
        await readable(victim, runId),
      );
    }),
});
/** Declarations, as the text of a list's entries: valid ones are accepted, and the run can be read afterwards. */
const oddDeclaration = (what: string, series: string): Attack => ({
  name: `trainer: ${what}`,
  run: (victim) =>
    withRun(victim, async (trainer, runId) => {
      const at = '"seq":1,"step":0,"wallTimeMs":1700000000000';
      const declared = `{"type":"series_declared",${at},"series":[${series}]}`;
      return firstOf(neither(await trainer.ask('events', `{"events":[${declared}]}`)), await readable(victim, runId));
    }),
});
const refused =
  (...codes: string[]) =>
  (reply: Reply): string | null =>
    notRefused(reply, ...codes);

export const trainerValueAttacks: Attack[] = [
  oddDeclaration('a metric name of 5 MB', `{"number":1,"name":"train/${'x'.repeat(5_000_000)}"}`),
  oddDeclaration(
    '5,000 metric names of 1,000 characters',
    Array.from({ length: 5000 }, (_, i) => `{"number":${i + 1},"name":"train/${'x'.repeat(1000)}${i}"}`).join(),
  ),
  oddDeclaration(
    'metrics called __proto__, constructor and toString',
    ['__proto__', 'constructor', 'toString'].map((name, i) => `{"number":${i + 1},"name":"${name}"}`).join(),
  ),
  oddDeclaration('a number of a series of 2^53', '{"number":9007199254740992,"name":"a"}'),
  oddStep('a series number that is not declared', { series: '[7]' }, null),
  oddStep('a value of 1.797e308', { values: '[1.7976931348623157e308]' }, takenAs('1.7976931348623157e+308')),
  oddStep('a value of 1e999', { values: '[1e999]' }),
  oddStep('a negative zero', { values: '[-0.0]', step: '-0' }),
  oddStep('an event number of 2^53', { seq: '9007199254740992' }, refused('invalid', 'gap')),
  oddStep('an event number as text of 64 bits', { seq: '"9007199254740993"' }, refused('invalid')),
  oddStep('a step of 2^53', { step: '9007199254740992' }, refused('invalid')),
  oddStep('a step of 2^53 - 1', { step: '9007199254740991' }),
  oddStep('a step of 1e300', { step: '1e300' }, refused('invalid')),
  oddStep('a stage of 2^31', { stage: '2147483648' }),
  oddStep('a stage of 2^53 - 1', { stage: '9007199254740991' }),
  oddStep('a time in nanoseconds', { wallTimeMs: '1700000000000000000' }, refused('invalid')),
  oddStep('a time of 1.797e308', { wallTimeMs: '1.797e308' }, refused('invalid')),
  oddStep('values that are nested 100,000 deep', { values: `[${'['.repeat(100_000)}${']'.repeat(100_000)}]` }, null),
  oddStep('a field that is nested 100,000 deep', { extra: '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000) }),
  oddStep('the same field twice', { stage: '0,"seq":9' }),
  oddStep('an unknown type', { type: '"step_undone"' }, refused('invalid')),
  oddStep('the type __proto__', { type: '"__proto__"' }, refused('invalid')),
];

function takenAs(text: string) {
  return (reply: Reply): string | null =>
    reply.kind === 'answer' && reply.ok ? null : `${text} is not taken: ${notRefused(reply) ?? quoted(reply)}`;
}
