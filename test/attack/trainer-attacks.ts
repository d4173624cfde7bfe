import { maxEventsPerBatch } from '@plumbline/shared/limits';
import { newId, readable, withRun } from './attacked-run.js';
import { firstOf, short, type Attack } from './attack.js';
import { obeyed, plumbline } from './command-line.js';
import { HostileTrainer, neither, notRefused } from './hostile-trainer.js';
import { inLanes, type Reply } from './raw-clients.js';
import type { Victim } from './victim.js';

/* Attacks by a trainer with the right token and bad intentions, or bugs. */

const quoted = JSON.stringify;

export const trainerAttacks: Attack[] = [
  {
    name: 'trainer: a bare NaN, as Python writes it',
    run: (victim) =>
      withRun(victim, async (trainer) => {
        victim.newLog();
        const reply = await trainer.ask(
          'events',
          `{"events":[${quoted(trainer.step(1)).replace('"values":[1]', '"values":[NaN]')}]}`,
          5000,
        );
        return toldOrRefused(reply, victim);
      }),
  },
  {
    name: 'trainer: a batch of 224,000 values',
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
          neither(await trainer.events([trainer.step(2, { 'train/loss': 99 })])),
        );
      }),
  },
  {
    name: 'trainer: a hundred batches of 20,000 values, with no answer waited for',
    run: (victim) =>
      withRun(victim, async (trainer, runId) => {
        const metrics = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`drift/g${i}`, i / 7]));
        const replies = await inLanes(100, 100, (batch) => {
          const events = Array.from({ length: 20 }, (_, i) => trainer.step(20 * batch + i + 1, metrics));
          return trainer.ask('events', { events }, 60_000);
        });
        return firstOf(...replies.map(neither), await readable(victim, runId));
      }),
  },
  { name: 'trainer: events after the last one, sent before its answer', run: afterTheEnd },
  { name: 'trainer: a last event without a first', run: lastWordAlone },
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
    name: 'trainer: ids, descriptions and parents of every wrong kind',
    run: async (victim) => {
      const trainer = await HostileTrainer.open(victim);
      const odd: (object | string)[] = [
        'null',
        '1',
        '"x"',
        '[]',
        '{}',
        { runId: '../../etc', run: { name: 'x' }, parent: null },
        { runId: '__proto__', run: { name: 'x' }, parent: null },
        { runId: 'x'.repeat(100_000), run: { name: 'x' }, parent: null },
        { runId: newId(), run: null, parent: null },
        { runId: newId(), run: { name: '' }, parent: null },
        { runId: newId(), run: { name: 'x'.repeat(5_000_000) }, parent: null },
        { runId: newId(), run: { name: 'x', totalSteps: 1e308, probeEverySteps: -1 }, parent: null },
        { runId: newId(), run: { name: 'x', rules: Array.from({ length: 10_000 }, () => ({})) }, parent: null },
        { runId: newId(), run: { name: 'x' }, parent: { runId: 1 } },
        { runId: newId(), run: { name: 'x' }, parent: null, acknowledgedSeq: -5 },
        { runId: newId(), run: { name: 'x' }, parent: null, acknowledgedSeq: 2 ** 53 },
        `{"runId":"${newId()}","run":${'['.repeat(100_000)}${']'.repeat(100_000)},"parent":null}`,
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
    name: 'trainer: ten thousand refusals in a row',
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
        if (attached.kind === 'answer' && !attached.ok) break; // A limit, reported with its reason.
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
        for (let seq = 1; seq <= 8; seq += 2) {
          const metrics = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`many/s${seq}_${i}`, i]));
          const events = [trainer.declares(seq, Object.keys(metrics)), trainer.step(seq + 1, metrics)];
          const fault = neither(await trainer.events([{ ...events[0]!, step: seq }, events[1]!]));
          if (fault) return fault;
        }
        return readable(victim, runId);
      }),
  },
];

/** A message that is no packet cannot be answered, but the hub must log it. */
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
      last.kind === 'answer' && last.ok ? null : `the last event is answered ${quoted(last)}`,
      notRefused(after),
      notRefused(end),
      !body.includes('"lastSeq":2') && `the run continues after its last event: ${short(body)}`,
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

/** The connection may hold one of the runs; once it is closed, none counts as connected. */
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
