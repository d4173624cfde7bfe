import { Rng } from '@plumbline/shared/rng';
import { firstOf, short, type Attack } from '../attack.js';
import { HostileTrainer, neither } from '../hostile-trainer.js';
import { ask, inLanes, RawSocket, type Reply } from '../raw-clients.js';
import { refusalFault } from '../transport-shapes.js';
import type { Victim } from '../victim.js';
import { drawFrame, sampleAttach, sampleCommands, sampleEvents } from './message-boundaries.js';
import { mutated, mutatedText } from './mutation.js';

/*
 * The same kinds of input over the wire to the hub. Each connection has its own address, so that no limit hides the
 * rest.
 */

const addressOf = (rng: Rng): string => `127.${1 + rng.integer(250)}.${rng.integer(250)}.${1 + rng.integer(250)}`;

/** Sends messages to a namespace; replaces a connection that ends. */
function messages(
  inputs: number,
  seed: number,
  namespace: string,
  open: (victim: Victim, rng: Rng) => Promise<RawSocket>,
  draw: (rng: Rng) => [string, unknown],
) {
  return async (victim: Victim): Promise<string | null> => {
    const rng = new Rng(seed);
    const perConnection = 15;
    const faults = await inLanes(Math.ceil(inputs / perConnection), 8, async () => {
      const socket = await open(victim, rng);
      const asked = Array.from({ length: perConnection }, () => draw(rng));
      const replies: [string, Reply][] = await Promise.all(
        asked.map(async ([event, message]): Promise<[string, Reply]> => {
          const text = JSON.stringify(message) ?? 'null';
          return [`${event} ${text}`, await socket.ask(namespace, event, text)];
        }),
      );
      socket.close();
      const wrong = replies.find(([, reply]) => neither(reply) !== null);
      return wrong ? `${neither(wrong[1])}; input ${short(wrong[0], 300)}` : null;
    });
    return firstOf(...faults);
  };
}

export const wireFuzzAttacks = (inputs: number, seed: number): Attack[] => [
  {
    name: `fuzz: ${inputs} frames over the wire`,
    run: async ({ port }) => {
      const rng = new Rng(seed);
      await inLanes(Math.ceil(inputs / 10), 8, async () => {
        const socket = await RawSocket.open(port, { from: addressOf(rng) });
        for (let i = 0; i < 10 && socket.closed === null; i++) {
          socket.send(rng.integer(10) === 0 ? Buffer.from(drawFrame(rng)) : drawFrame(rng));
          await new Promise((resolve) => setImmediate(resolve));
        }
        socket.close();
      });
      return null;
    },
  },
  {
    name: `fuzz: ${inputs} trainer messages over the wire`,
    run: messages(
      inputs,
      seed,
      '/trainer',
      async (victim) => (await HostileTrainer.open(victim)).socket,
      (rng) => {
        if (rng.integer(4) === 0)
          return ['attach', mutated(rng, { ...sampleAttach, runId: `fuzz-${rng.integer(50)}`, parent: null })];
        const from = rng.integer(sampleEvents.length);
        return ['events', mutated(rng, { events: sampleEvents.slice(from, from + 2) })];
      },
    ),
  },
  {
    name: `fuzz: ${inputs} dashboard messages over the wire`,
    run: messages(
      inputs,
      seed,
      '/dashboard',
      async ({ port, owner }, rng) => {
        const socket = await RawSocket.open(port, { from: addressOf(rng), cookie: owner.cookie });
        await socket.join('/dashboard');
        return socket;
      },
      (rng) =>
        rng.integer(3) === 0
          ? ['watch', mutated(rng, { runId: 'honest' })]
          : ['command', mutated(rng, rng.pick(sampleCommands))],
    ),
  },
  {
    name: `fuzz: ${inputs} requests over the wire`,
    run: async ({ port }) => {
      const rng = new Rng(seed);
      const paths = [
        ...[
          '/api/runs/honest/history?metric=train/loss&fromStep=1&maxPoints=50',
          '/api/runs/honest/windows?everySteps=10',
        ],
        ...[
          '/api/compare?run=honest&run=honest',
          '/api/runs/honest/events',
          '/api/runs/honest/rules',
          '/api/catalog',
          '/api/session',
        ],
      ];
      const faults = await inLanes(inputs, 8, async () => {
        const isPost = rng.integer(4) === 0;
        const path = isPost
          ? '/api/session'
          : encodeURI(mutatedText(rng, rng.pick(paths)).replace(/\p{Surrogate}/gu, ''))
              .replace(/^[^/]*/, '')
              .slice(0, 8000) || '/';
        const body = isPost ? JSON.stringify(mutated(rng, { token: 'x' })) : undefined;
        const answer = await ask(port, path, {
          ...{ from: addressOf(rng), headers: isPost ? { 'content-type': 'application/json' } : {} },
          ...(body !== undefined && { method: 'POST', body }),
        });
        const isAnswered = answer.status === 200 || (!/^\/api(\/|\?|$)/.test(path) && answer.status < 600);
        const fault = isAnswered ? null : refusalFault(answer.status, answer.body);
        return fault && `${short(path)} ${short(body ?? '', 100)} ${fault}`;
      });
      return firstOf(...faults);
    },
  },
];
