import { randomUUID } from 'node:crypto';
import { firstOf, short, type Attack } from './attack.js';
import { neither, notCutOff, notRefused } from './hostile-trainer.js';
import { inLanes, RawSocket, type Reply } from './raw-clients.js';
import type { Victim } from './victim.js';

/* Attacks over /dashboard: watches and commands, from strangers and from a signed-in person. */

const namespace = '/dashboard';

async function dashboard({ port, owner }: Victim, isSignedIn = true): Promise<RawSocket> {
  const socket = await RawSocket.open(port, { from: '127.0.0.1', cookie: isSignedIn ? owner.cookie : '' });
  await socket.join(namespace);
  return socket;
}
const give = (socket: RawSocket, runId: string, action: unknown, commandId: string = randomUUID()): Promise<Reply> =>
  socket.ask(namespace, 'command', JSON.stringify({ commandId, runId, action }));

/** Each gets a fresh connection, so that no limit of one hides the rest. */
async function each(
  victim: Victim,
  messages: readonly (object | string)[],
  event = 'command',
  fault: (reply: Reply) => string | null = notRefused,
): Promise<string | null> {
  const faults = await inLanes(messages.length, 2, async (i) => {
    const socket = await dashboard(victim);
    const text = typeof messages[i] === 'string' ? messages[i] : JSON.stringify(messages[i]);
    const wrong = fault(await socket.ask(namespace, event, text));
    socket.close();
    return wrong && `${event} ${short(text, 80)}: ${wrong}`;
  });
  return firstOf(...faults);
}

export const commandAttacks: Attack[] = [
  {
    name: 'commands: without a session, and with a wrong one',
    run: async (victim) => {
      const stranger = await dashboard(victim, false);
      const reply = await give(stranger, 'honest', { kind: 'stop' });
      stranger.close();
      const name = victim.owner.cookie.split('=')[0]!;
      const liar = await RawSocket.open(victim.port, { cookie: `${name}=../trainer-token; ${name}=; ${name}=%00` });
      await liar.join(namespace);
      const lied = await give(liar, 'honest', { kind: 'stop' });
      liar.close();
      return firstOf(notRefused(reply, 'forbidden'), notRefused(lied, 'forbidden'));
    },
  },
  {
    name: 'commands: ten thousand at once',
    run: async (victim) => {
      const socket = await dashboard(victim);
      const replies = await inLanes(10_000, 200, () => give(socket, 'honest', { kind: 'evaluate_now' }));
      socket.close();
      const taken = replies.filter((reply) => reply.kind === 'answer' && reply.ok).length;
      const faults = replies.map((reply) =>
        reply.kind === 'closed' ? notCutOff(reply, victim, /Too many packets/) : neither(reply),
      );
      return firstOf(...faults, taken > 1000 && `${taken} of 10,000 were taken: nothing limits them`);
    },
  },
  {
    name: 'commands: ten thousand watches, over forty connections',
    run: async (victim) => {
      const sockets = await inLanes(40, 20, () => dashboard(victim));
      const replies = await inLanes(10_000, 200, (i) =>
        sockets[i % 40]!.ask(namespace, 'watch', `{"runId":"${i % 3 ? 'honest' : `none-${i}`}"}`),
      );
      sockets.forEach((socket) => socket.close());
      return firstOf(...replies.map(neither));
    },
  },
  {
    name: 'commands: one id twice with different contents',
    run: async (victim) => {
      const socket = await dashboard(victim);
      const id = randomUUID();
      const first = await give(socket, 'honest', { kind: 'set_learning_rate', learningRate: 1e-4 }, id);
      const second = await give(socket, 'honest', { kind: 'stop' }, id);
      socket.close();
      const isFirst = JSON.stringify(second).includes('set_learning_rate');
      return firstOf(
        neither(first),
        second.kind === 'answer' && second.ok && !isFirst
          ? 'the second content was carried out under the first id'
          : null,
        !isFirst && notRefused(second),
      );
    },
  },
  {
    name: 'commands: patterns of megabytes, and of nothing but stars',
    run: async (victim) => {
      const pattern = (text: string) => ({ kind: 'set_trainable', selection: { kind: 'pattern', pattern: text } });
      const socket = await dashboard(victim);
      const stars = await give(socket, 'honest', pattern('*a'.repeat(99)));
      const commas = await give(socket, 'honest', pattern(','.repeat(200)));
      socket.close();
      const asked = (text: string) => ({ commandId: randomUUID(), runId: 'honest', action: pattern(text) });
      return firstOf(
        neither(stars),
        neither(commas),
        await each(
          victim,
          [asked('x'.repeat(5_000_000)), asked('*'.repeat(10_000)), asked('*a'.repeat(5000))],
          'command',
          (reply) => notCutOff(reply, victim, /A message of this connection holds at most/),
        ),
      );
    },
  },
  {
    name: 'commands: unknown kinds, ids and runs',
    run: (victim) => {
      const asked = (action: unknown, more: object = {}) => ({
        commandId: randomUUID(),
        runId: 'honest',
        action,
        ...more,
      });
      return each(victim, [
        asked({ kind: 'delete_everything' }),
        asked({ kind: '__proto__' }),
        asked({ kind: ['stop'] }),
        asked(null),
        asked({ kind: 'stop' }, { runId: 'none' }),
        asked({ kind: 'stop' }, { runId: '__proto__' }),
        asked({ kind: 'stop' }, { runId: { toString: 'x' } }),
        asked({ kind: 'stop' }, { commandId: 'short' }),
        asked({ kind: 'stop' }, { commandId: 'x'.repeat(1_000_000) }),
        asked({ kind: 'set_learning_rate', learningRate: '1' }),
        asked({ kind: 'set_learning_rate', learningRate: -1 }),
        asked({ kind: 'set_learning_rate', learningRate: 1e308 }),
        asked({ kind: 'restore_checkpoint', checkpointId: '../../x' }),
        asked({ kind: 'notify', url: 'http://127.0.0.1/' }),
        asked({ kind: 'set_rules', rules: Array.from({ length: 10_000 }, () => ({ name: 'x' })) }),
        asked({ kind: 'set_rules', rules: 'x' }),
        'null',
        '1',
        '[]',
        '{}',
        '"x"',
        `{"commandId":"12345678","runId":"honest","action":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`,
      ]);
    },
  },
  {
    name: 'commands: watches of unknown runs',
    run: (victim) =>
      each(
        victim,
        ['null', '1', '[]', '{}', '{"runId":1}', '{"runId":"none"}', '{"runId":"__proto__"}', '{"runId":["honest"]}'],
        'watch',
      ),
  },
  {
    name: 'commands: no acknowledgement asked for, and arguments of every kind',
    run: async (victim) => {
      const socket = await dashboard(victim);
      for (const text of [
        '["command"]',
        '["command",null]',
        '["command",1,2,3]',
        '["watch"]',
        '["unwatch"]',
        '["unwatch",1]',
      ])
        socket.send(`42${namespace},${text}`);
      for (const text of ['{}', '"x"', '[]', '[{}]', '[["command"]]', '["disconnect"]', '["constructor",{}]', '5'])
        socket.send(`42${namespace},7${text}`);
      socket.send(`43${namespace},1[]`);
      socket.send(`44${namespace},{"message":"x"}`);
      socket.close();
      return null;
    },
  },
];
