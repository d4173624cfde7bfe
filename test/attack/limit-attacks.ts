import { setTimeout as sleep } from 'node:timers/promises';
import { Sessions } from '@plumbline/server/dist/access/sessions.js';
import { firstOf, type Attack } from './attack.js';
import { HostileTrainer } from './hostile-trainer.js';
import { ask, inLanes, RawSocket } from './raw-clients.js';
import type { Victim } from './victim.js';

/*
 * Strangers at the owner's address use up the address's limits; the owner, a valid link and a trainer must still get
 * in.
 */

const ownersAddress = '127.0.0.1';
const json = { 'content-type': 'application/json' };

const signIn = ({ port }: Victim, token: string) =>
  ask(port, '/api/session', { method: 'POST', headers: json, body: JSON.stringify({ token }), from: ownersAddress });

/** The refusals of legitimate clients; null if all get in. */
async function lockedOut(victim: Victim): Promise<string | null> {
  const page = await victim.asOwner('/runs');
  const right = await signIn(victim, new Sessions(victim.hub.dataDir).createLink());
  const trainer = await HostileTrainer.open(victim).catch((error: unknown) => error as Error);
  let attached: string | null = null;
  if (trainer instanceof Error) attached = trainer.message;
  else {
    const reply = await trainer.attach('attack-late');
    if (reply.kind !== 'answer' || !reply.ok) attached = `an honest attach is answered ${JSON.stringify(reply)}`;
    await trainer.events(trainer.whole());
    trainer.close();
  }
  return firstOf(
    page.status !== 200 && `the owner's page is answered ${page.status} ${page.body.slice(0, 100)}`,
    right.status !== 200 && `a right link is answered ${right.status} ${right.body.slice(0, 100)}`,
    attached,
  );
}

export const limitAttacks: Attack[] = [
  {
    name: 'limits: 3,500 GETs in two seconds from the owner’s address',
    run: async (victim) => {
      await inLanes(3500, 60, () => ask(victim.port, '/api/runs', { from: ownersAddress }));
      return lockedOut(victim);
    },
  },
  {
    name: 'limits: sixty wrong links from the owner’s address',
    run: async (victim) => {
      const answers = await inLanes(60, 4, () => signIn(victim, 'x'.repeat(43)));
      const opened = answers.filter(({ status }) => status === 200).length;
      return firstOf(opened > 0 && `${opened} wrong links were taken`, await lockedOut(victim));
    },
  },
  {
    name: 'limits: wrong sessions and wrong bearer tokens by the thousand',
    run: async (victim) => {
      const { port, owner } = victim;
      const name = owner.cookie.split('=')[0]!;
      const answers = await inLanes(2000, 50, (i) =>
        ask(port, '/api/backup', {
          ...{ method: 'POST', from: ownersAddress },
          headers: i % 2 ? { cookie: `${name}=${'x'.repeat(i % 4000)}` } : { authorization: `Bearer ${'x'.repeat(i)}` },
        }),
      );
      const taken = answers.filter(({ status }) => status === 200).length;
      return firstOf(taken > 0 && `${taken} wrong ones were taken`, await lockedOut(victim));
    },
  },
  {
    name: 'limits: fifty exports asked for by strangers, then the owner’s',
    run: async (victim) => {
      await inLanes(50, 4, () => ask(victim.port, '/api/runs/honest/export', { from: ownersAddress }));
      const { status, body } = await victim.asOwner('/runs/honest/export');
      return status === 200 ? null : `the owner's export is answered ${status} ${body.slice(0, 100)}`;
    },
  },
  {
    name: 'limits: strangers hold as many WebSockets as they get at the owner’s address, then let go',
    run: async (victim) => {
      const sockets = await inLanes(500, 50, () => RawSocket.open(victim.port, { from: ownersAddress }));
      sockets.forEach((socket) => socket.close());
      await sleep(1000);
      return lockedOut(victim);
    },
  },
];
