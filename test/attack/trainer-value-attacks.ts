import { readable, withRun } from './attacked-run.js';
import { firstOf, short, type Attack } from './attack.js';
import { neither, notRefused } from './hostile-trainer.js';
import { ask, type Reply } from './raw-clients.js';
import type { Victim } from './victim.js';

/* Single steps with something odd in them: each is taken and comes back as it was given, or is refused in words. */

const quoted = JSON.stringify;

/** An event that was taken is in the export as it was given, but for fields that there are not. */
async function comesBack({ port }: Victim, runId: string, given: Record<string, unknown>): Promise<string | null> {
  const { body } = await ask(port, `/api/runs/${runId}/export`, { from: '127.0.0.1' });
  const line = body.split('\n').find((text) => text.includes('"step_completed"'));
  const stored = JSON.parse(line ?? '{}') as Record<string, unknown>;
  const differs = ['seq', 'step', 'stage', 'wallTimeMs', 'metrics'].find(
    (key) => canonical(stored[key]) !== canonical(given[key]),
  );
  return differs
    ? `its ${differs} was taken as ${short(quoted(given[differs]), 60)} and is ${short(quoted(stored[differs]) ?? 'gone', 60)}`
    : null;
}
/** JSON with its fields in order; in JSON negative zero is zero. */
const canonical = (value: unknown): string =>
  typeof value === 'object' && value !== null ? quoted(Object.entries(value).sort()) : (quoted(value) ?? 'gone');

/** One step with something odd in it, given as text; taken or refused, and the run can be read afterwards. */
const oddStep = (
  what: string,
  fields: Record<string, string>,
  judge: (reply: Reply) => string | null = neither,
): Attack => ({
  name: `trainer: ${what}`,
  run: (victim) =>
    withRun(victim, async (trainer, runId) => {
      const usual = {
        type: '"step_completed"',
        seq: '1',
        step: '1',
        stage: '0',
        wallTimeMs: '1',
        metrics: '{"train/loss":1}',
      };
      const event = Object.entries({ ...usual, ...fields }).map(([key, value]) => `${quoted(key)}:${value}`);
      const reply = await trainer.ask('events', `{"events":[{${event.join()}}]}`);
      return firstOf(
        judge(reply),
        reply.kind === 'answer' && reply.ok && (await comesBack(victim, runId, JSON.parse(`{${event.join()}}`))),
        await readable(victim, runId),
      );
    }),
});
const refused =
  (...codes: string[]) =>
  (reply: Reply): string | null =>
    notRefused(reply, ...codes);

export const trainerValueAttacks: Attack[] = [
  oddStep(
    'a metric name of 5 MB',
    { metrics: `{"train/${'x'.repeat(5_000_000)}":1}` },
    refused('invalid', 'too_large'),
  ),
  oddStep(
    '5,000 metric names of 1,000 characters',
    {
      metrics: `{${Array.from({ length: 5000 }, (_, i) => `"train/${'x'.repeat(1000)}${i}":1`).join()}}`,
    },
    refused('invalid', 'too_large'),
  ),
  oddStep('a metric called __proto__', { metrics: '{"__proto__":1,"train/loss":2}' }, refused('invalid')),
  oddStep('metrics called constructor and toString', { metrics: '{"constructor":1,"toString":2}' }, refused('invalid')),
  oddStep('metrics whose parts are __proto__', { metrics: '{"a/__proto__":1,"a/constructor":2,"a/hasOwnProperty":3}' }),
  oddStep(
    'a value of 1.797e308',
    { metrics: '{"train/loss":1.7976931348623157e308}' },
    takenAs('1.7976931348623157e+308'),
  ),
  oddStep('a value of 1e999', { metrics: '{"train/loss":1e999}' }),
  oddStep('a negative zero', { metrics: '{"train/loss":-0.0}', step: '-0' }),
  oddStep('an event number of 2^53', { seq: '9007199254740992' }, refused('invalid', 'gap')),
  oddStep('an event number as text of 64 bits', { seq: '"9007199254740993"' }, refused('invalid')),
  oddStep('a step of 2^53', { step: '9007199254740992' }, refused('invalid')),
  oddStep('a step of 2^53 - 1', { step: '9007199254740991' }),
  oddStep('a step of 1e300', { step: '1e300' }, refused('invalid')),
  oddStep('a stage of 2^31', { stage: '2147483648' }),
  oddStep('a stage of 2^53 - 1', { stage: '9007199254740991' }),
  oddStep('a time in nanoseconds', { wallTimeMs: '1700000000000000000' }),
  oddStep('a time of 1.797e308', { wallTimeMs: '1.797e308' }),
  oddStep(
    'metrics that are nested 100,000 deep',
    { metrics: '['.repeat(100_000) + ']'.repeat(100_000) },
    refused('invalid'),
  ),
  oddStep('a field that is nested 100,000 deep', { extra: '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000) }),
  oddStep('the same field twice', { stage: '0,"seq":9' }),
  oddStep('an unknown type', { type: '"step_undone"' }, refused('invalid')),
  oddStep('the type __proto__', { type: '"__proto__"' }, refused('invalid')),
];

function takenAs(text: string) {
  return (reply: Reply): string | null =>
    reply.kind === 'answer' && reply.ok ? null : `${text} is not taken: ${notRefused(reply) ?? quoted(reply)}`;
}
