import { randomUUID } from 'node:crypto';
import { maxEventsPerBatch } from '@plumbline/shared/trainer-event';
import { firstOf, short, type Attack } from './attack.js';
import { obeyed, plumbline } from './command-line.js';
import { HostileTrainer, neither, notRefused } from './hostile-trainer.js';
import { ask, inLanes, type Reply } from './raw-clients.js';
import type { Victim } from './victim.js';

/* The right token in the hands of a trainer with bad intentions, or with bugs. */

const newId = (): string => `attack-${randomUUID().slice(0, 8)}`;
const quoted = JSON.stringify;

/** A run of its own for one attack, attached. */
async function withRun(
  victim: Victim,
  work: (trainer: HostileTrainer, runId: string) => Promise<string | null>,
): Promise<string | null> {
  const trainer = await HostileTrainer.open(victim);
  const runId = newId();
  try {
    const attached = await trainer.attach(runId);
    if (attached.kind !== 'answer' || !attached.ok) return `an honest attach is answered ${quoted(attached)}`;
    return await work(trainer, runId);
  } finally {
    trainer.close();
  }
}

/** Everything about a run can be read: each answer is 200, whatever the trainer put in. */
async function readable({ port }: Victim, runId: string): Promise<string | null> {
  const ends = [
    '',
    '/history',
    '/history?maxPoints=5',
    '/windows',
    '/windows?everySteps=7',
    '/findings',
    '/events',
    '/export',
  ];
  for (const end of ends) {
    const { status, body } = await ask(port, `/api/runs/${runId}${end}`, { from: '127.0.0.1' });
    if (status !== 200 && !(status === 400 && body.includes('"invalid"')))
      return `${end || 'the run'} is answered ${status} ${short(body, 100)}`;
  }
  return null;
}

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

export const trainerAttacks: Attack[] = [
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
  {
    name: 'trainer: a bare NaN, as Python writes it',
    run: (victim) =>
      withRun(victim, async (trainer) => {
        victim.newLog();
        const reply = await trainer.ask(
          'events',
          `{"events":[${quoted(trainer.step(1)).replace(/"train\/loss":1/, '"train/loss":NaN')}]}`,
          5000,
        );
        return toldOrRefused(reply, victim);
      }),
  },
  {
    name: 'trainer: a batch of 12 MB within the stated limits',
    run: (victim) =>
      withRun(victim, async (trainer, runId) => {
        victim.newLog();
        const metrics = Object.fromEntries(
          Array.from({ length: 224 }, (_, i) => [`drift/language_model.layers.${i}.mlp.gate_proj`, i / 3]),
        );
        const events = Array.from({ length: maxEventsPerBatch }, (_, i) => trainer.step(i + 1, metrics));
        return firstOf(toldOrRefused(await trainer.events(events), victim), await readable(victim, runId));
      }),
  },
  {
    name: 'trainer: 1,001 events at once, none, and no list',
    run: (victim) =>
      withRun(victim, async (trainer) => {
        const many = Array.from({ length: maxEventsPerBatch + 1 }, (_, i) => trainer.step(i + 1));
        const odd = [
          'null',
          '[]',
          '{}',
          '{"events":{}}',
          '{"events":{"length":5}}',
          '{"events":[null]}',
          '"x"',
          '1',
          '{"events":"x"}',
        ];
        return firstOf(
          notRefused(await trainer.events(many), 'too_large'),
          ...(await inLanes(odd.length, 1, async (i) => notRefused(await trainer.ask('events', odd[i]!), 'invalid'))),
        );
      }),
  },
  {
    name: 'trainer: events before a run is attached, and events of no such kind',
    run: async (victim) => {
      const trainer = await HostileTrainer.open(victim);
      const before = notRefused(await trainer.events([trainer.step(1)]), 'not_found');
      for (const event of ['disconnect', 'error', 'constructor', 'connect_error', 'newListener']) {
        trainer.socket.send(`42/trainer,[${quoted(event)},1]`);
        trainer.socket.send(`42/trainer,[${quoted(event)}]`);
      }
      for (const text of ['[]', '[1]', '[null]', '{}', '["attach"]', '["attach",1,2,3]', '["events"]'])
        trainer.socket.send(`42/trainer,${text}`);
      trainer.close();
      return before;
    },
  },
  {
    name: 'trainer: gaps, repeats and steps that go back',
    run: (victim) =>
      withRun(victim, async (trainer) => {
        const first = await trainer.events([trainer.step(1), trainer.step(2)]);
        return firstOf(
          first.kind === 'answer' && first.ok ? null : `two usual steps are answered ${quoted(first)}`,
          notRefused(await trainer.events([trainer.step(5)]), 'gap'),
          notRefused(await trainer.events([trainer.step(3), trainer.step(9)]), 'gap', 'invalid'),
          notRefused(await trainer.events([{ ...trainer.step(3), step: 1 }]), 'invalid', 'conflict'),
          neither(await trainer.events([{ ...trainer.step(2), metrics: { 'train/loss': 99 } }])),
        );
      }),
  },
  { name: 'trainer: events after the last word, sent before its answer', run: afterTheEnd },
  { name: 'trainer: a last word without a first', run: lastWordAlone },
  { name: 'trainer: two runs attached at once on one connection', run: twoAttaches },
  {
    name: 'trainer: takes the run of another that trains',
    run: async (victim) => {
      const trainer = await HostileTrainer.open(victim);
      const reply = await trainer.attach('honest');
      const forged = await trainer.events([trainer.step(1_000_000)]);
      trainer.close();
      return firstOf(neither(reply), notRefused(forged));
    },
  },
  { name: 'trainer: runs that are each other’s parents', run: circleOfParents },
  { name: 'trainer: a name with terminal escapes, control characters and turned text', run: escapesInNames },
  {
    name: 'trainer: ids, configurations and parents of every wrong kind',
    run: async (victim) => {
      const trainer = await HostileTrainer.open(victim);
      const odd: (object | string)[] = [
        'null',
        '1',
        '"x"',
        '[]',
        '{}',
        { runId: '../../etc', config: { name: 'x' }, parent: null },
        { runId: '__proto__', config: { name: 'x' }, parent: null },
        { runId: 'x'.repeat(100_000), config: { name: 'x' }, parent: null },
        { runId: newId(), config: null, parent: null },
        { runId: newId(), config: { name: '' }, parent: null },
        { runId: newId(), config: { name: 'x'.repeat(5_000_000) }, parent: null },
        { runId: newId(), config: { name: 'x', steps: 1e308, seed: -1 }, parent: null },
        { runId: newId(), config: { name: 'x', rules: Array.from({ length: 10_000 }, () => ({})) }, parent: null },
        { runId: newId(), config: { name: 'x' }, parent: { runId: 1 } },
        { runId: newId(), config: { name: 'x' }, parent: null, acknowledgedSeq: -5 },
        { runId: newId(), config: { name: 'x' }, parent: null, acknowledgedSeq: 2 ** 53 },
        `{"runId":"${newId()}","config":${'['.repeat(100_000)}${']'.repeat(100_000)},"parent":null}`,
      ];
      const faults = await inLanes(odd.length, 1, async (i) => {
        const fault = notRefused(await trainer.ask('attach', odd[i]!));
        return fault && `attach ${short(typeof odd[i] === 'string' ? odd[i] : quoted(odd[i]), 80)}: ${fault}`;
      });
      trainer.close();
      return firstOf(...faults);
    },
  },
  {
    name: 'trainer: refused ten thousand times, and never tires',
    run: (victim) =>
      withRun(victim, async (trainer) => {
        victim.newLog();
        await inLanes(10_000, 50, () => trainer.events([trainer.step(7)]));
        const lines = victim.newLog().split('\n').length;
        return lines > 200 ? `the hub wrote ${lines} lines of log about it` : null;
      }),
  },
  {
    name: 'trainer: a thousand runs',
    run: async (victim) => {
      const trainer = await HostileTrainer.open(victim);
      for (let i = 0; i < 1000; i++) {
        const attached = await trainer.attach(`attack-many-${i}`);
        const ended = await trainer.events(trainer.whole());
        const fault = firstOf(neither(attached), neither(ended));
        if (fault) return `run ${i}: ${fault}`;
        if (attached.kind === 'answer' && !attached.ok) break; // A limit, told with its reason.
      }
      trainer.close();
      const { status } = await victim.asOwner('/runs');
      return status === 200 ? null : `the list of runs is answered ${status}`;
    },
  },
  {
    name: 'trainer: twenty thousand series',
    run: (victim) =>
      withRun(victim, async (trainer, runId) => {
        for (let seq = 1; seq <= 4; seq++) {
          const metrics = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`many/s${seq}_${i}`, i]));
          const fault = neither(await trainer.events([trainer.step(seq, metrics)]));
          if (fault) return fault;
        }
        return readable(victim, runId);
      }),
  },
];

function takenAs(text: string) {
  return (reply: Reply): string | null =>
    reply.kind === 'answer' && reply.ok ? null : `${text} is not taken: ${notRefused(reply) ?? quoted(reply)}`;
}

/** What cannot be answered, since it is no packet, is told in the hub's log at least. */
function toldOrRefused(reply: Reply, victim: Victim): string | null {
  if (reply.kind === 'answer') return neither(reply);
  const log = victim.newLog();
  const isTold = /parse error|not JSON|NaN|malformed|too.?large|too big|limit|MB|MiB/i.test(log);
  return isTold
    ? null
    : `the connection ends (${reply.kind === 'closed' ? reply.how : 'in silence'}), and no word of why is anywhere`;
}

function afterTheEnd(victim: Victim): Promise<string | null> {
  return withRun(victim, async (trainer, runId) => {
    const [last, after, end] = await Promise.all([
      trainer.events(trainer.whole()),
      trainer.events([trainer.step(3)]),
      trainer.events([{ ...trainer.whole()[1], seq: 3 }]),
    ]);
    const { body } = await victim.asOwner(`/runs/${runId}`);
    return firstOf(
      last.kind === 'answer' && last.ok ? null : `the last word is answered ${quoted(last)}`,
      notRefused(after),
      notRefused(end),
      !body.includes('"lastSeq":2') && `the run goes on after its last word: ${short(body)}`,
    );
  });
}

function lastWordAlone(victim: Victim): Promise<string | null> {
  return withRun(victim, async (trainer, runId) => {
    const reply = await trainer.events([{ ...trainer.whole()[1], seq: 1 }]);
    const { body } = await victim.asOwner(`/runs/${runId}`);
    const isTaken = reply.kind === 'answer' && reply.ok;
    return firstOf(
      neither(reply),
      isTaken && !body.includes('"state":"finished"') && `it is taken, and the run has not ended: ${short(body, 80)}`,
    );
  });
}

/** The connection may hold one of them; once it has gone nobody is taken for connected. */
async function twoAttaches(victim: Victim): Promise<string | null> {
  const trainer = await HostileTrainer.open(victim);
  const ids = [newId(), newId()];
  const replies = await Promise.all(ids.map((id) => trainer.attach(id)));
  trainer.close();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const runs = await Promise.all(ids.map((id) => victim.asOwner(`/runs/${id}`)));
  const connected = runs.filter(({ body }) => body.includes('"trainerConnected":true')).length;
  const taken = replies.filter((reply) => reply.kind === 'answer' && reply.ok).length;
  return firstOf(
    ...replies.map(neither),
    taken === 2 && 'one connection holds two runs',
    connected > 0 && `${connected} of the runs count as connected after the connection has ended`,
  );
}

async function circleOfParents(victim: Victim): Promise<string | null> {
  const [a, b, own] = [newId(), newId(), newId()];
  const from = (runId: string) => ({ runId, checkpointId: 'step-1', step: 1 });
  const trainer = await HostileTrainer.open(victim);
  const seen: (string | null)[] = [];
  for (const [id, parent] of [
    [a, b],
    [b, a],
    [own, own],
  ] as const) {
    const reply = await trainer.attach(id, {}, from(parent));
    seen.push(neither(reply));
    if (reply.kind === 'answer' && reply.ok) await trainer.events(trainer.whole());
  }
  trainer.close();
  for (const id of [a, b, own]) {
    const { status } = await victim.asOwner(`/runs/${id}`);
    if (status === 200) seen.push(await readable(victim, id));
  }
  for (const id of [a, b, a, own]) await victim.asOwner(`/runs/${id}`, 'DELETE');
  for (const id of [a, b, own]) {
    const { status } = await victim.asOwner(`/runs/${id}`);
    if (status === 200) seen.push(`a run that is its own ancestor was taken and cannot be deleted`);
  }
  return firstOf(...seen);
}

async function escapesInNames(victim: Victim): Promise<string | null> {
  const names = [
    '\u001b[31mred\u001b[2J',
    'bell\u0007\u0000nul',
    'turned \u202etxet',
    'two\nlines\r',
    '\u009b31mC1',
    'lone \ud800',
  ];
  const trainer = await HostileTrainer.open(victim);
  const seen: (string | null)[] = [];
  for (const name of names) {
    const runId = newId();
    const reply = await trainer.attach(runId, { name });
    seen.push(neither(reply));
    if (reply.kind !== 'answer' || !reply.ok) continue;
    await trainer.events(trainer.whole());
    const { output } = await plumbline('delete', runId, '--data-dir', victim.hub.dataDir);
    if (obeyed.test(output)) seen.push(`\`delete\` prints ${short(output, 80)}`);
  }
  trainer.close();
  return firstOf(...seen);
}
