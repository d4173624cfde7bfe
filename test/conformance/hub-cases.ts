import type { Socket } from 'socket.io-client';
import { holds, NotTried, same, until, type Case } from './cases.js';
import {
  control,
  PlayedTrainer,
  runStarted,
  step,
  steps,
  type Answer,
  type HubUnderTest,
  type Message,
} from './played-trainer.js';

type HubCase = Case<HubUnderTest>;
const hubCase = (name: string, expects: string, play: (trainer: PlayedTrainer) => Promise<void>): HubCase => ({
  name,
  expects,
  async run(hub) {
    const trainer = new PlayedTrainer(hub);
    try {
      await play(trainer);
    } finally {
      trainer.close();
    }
  },
});

function refused(answer: Answer, code: string, what: string): void {
  holds(!answer.ok, `The hub took ${what}.`);
  same(answer.error?.code, code, `The code for ${what}`);
  holds((answer.error?.message ?? '').length > 10, `The refusal of ${what} says nothing.`);
}
function stored(answer: Answer, lastSeq: number, what: string): void {
  holds(answer.ok, `The hub refused ${what}: ${answer.error?.message}`);
  same(answer.lastSeq, lastSeq, `lastSeq after ${what}`);
}
const isOpen = (socket: Socket): boolean => socket.connected;

/** The values by name, from the export. */
async function valuesAt(trainer: PlayedTrainer, seq: number): Promise<Record<string, unknown>> {
  const event = (await trainer.stored()).find((each) => each['seq'] === seq);
  holds(event !== undefined, `Event ${seq} is not in the export.`);
  return { ...(event['metrics'] as object) };
}

/** The requirements of every hub towards trainers. */
export const hubCases: HubCase[] = [
  hubCase('wrong token', 'A wrong token is refused as unauthorized.', async (trainer) =>
    same(await trainer.connect({ token: 'wrong' }), 'unauthorized', 'The code'),
  ),
  hubCase(
    'another protocol',
    'Other versions are refused by name, and so is a missing capability.',
    async (trainer) => {
      same(await trainer.connect({ protocol: 1 }), 'protocol_too_old', 'The code for version 1');
      same(await trainer.connect({ protocol: 999 }), 'protocol_too_new', 'The code for version 999');
      same(await trainer.connect({ capabilities: ['time_travel'] }), 'capability_missing', 'The code');
      holds(typeof (await trainer.connect({ capabilities: ['busy'] })) !== 'string', 'busy is refused.');
    },
  ),
  hubCase('attach', 'A new run starts at 0; a returning trainer gets the last stored number.', async (trainer) => {
    const socket = await trainer.connect();
    holds(typeof socket !== 'string', 'The hub refused the connection.');
    refused(await trainer.send(socket, [runStarted()]), 'not_found', 'events before attach');
    const answer = await trainer.ask(socket, 'attach', trainer.attachment());
    stored(answer, 0, 'attach');
    same(answer.nextSeries, 0, 'nextSeries');
    stored(await trainer.send(socket, [runStarted(), ...steps(2, 4)]), 4, 'four events');
    const again = await trainer.ask(socket, 'attach', trainer.attachment({ acknowledgedSeq: 4 }));
    stored(again, 4, 'the second attach');
    same(again.nextSeries, 1, 'nextSeries after a declaration of number 0');
  }),
  hubCase('whose run it is', 'Another secret, or none, is forbidden.', async (trainer) => {
    await trainer.attached();
    const other = (await trainer.connect()) as Socket;
    const taken = trainer.attachment({ secret: 'another-secret-of-24-char' });
    refused(await trainer.ask(other, 'attach', taken), 'forbidden', 'another secret');
    const { secret: _, ...without } = trainer.attachment();
    refused(await trainer.ask(other, 'attach', without), 'forbidden', 'no secret');
    stored(await trainer.ask(other, 'attach', trainer.attachment()), 0, 'the right secret');
  }),
  hubCase('another description', 'Another description of the run is a permanent conflict.', async (trainer) => {
    const socket = await trainer.attached();
    const answer = await trainer.ask(socket, 'attach', trainer.attachment({ run: { name: 'Another' } }));
    refused(answer, 'conflict', 'another description');
    same(answer.error?.retry, false, 'retry');
  }),
  hubCase('two attaches at once', 'Both are answered, and one connection holds the run.', async (trainer) => {
    const socket = (await trainer.connect()) as Socket;
    const both = await Promise.all([1, 2].map(() => trainer.ask(socket, 'attach', trainer.attachment())));
    for (const answer of both) stored(answer, 0, 'attach');
    const [first, second] = [(await trainer.connect()) as Socket, (await trainer.connect()) as Socket];
    await Promise.allSettled([first, second].map((each) => trainer.ask(each, 'attach', trainer.attachment())));
    await until('the hub to close two of three connections', () => [socket, first, second].filter(isOpen).length === 1);
    const holder = [socket, first, second].find(isOpen)!;
    stored(await trainer.send(holder, [runStarted()]), 1, 'the first event');
  }),
  hubCase(
    'batches under way when another connection takes the run',
    'Each event that is acknowledged is the one that is stored.',
    async (trainer) => {
      const acknowledged: Message[] = [];
      let holder = await trainer.started();
      let lastSeq = 1;
      for (let round = 1; round <= 5; round++) {
        const [before, after] = [holder, (await trainer.connect()) as Socket];
        // Large, so that the later ones are still being read when the run is taken.
        const late = Array.from({ length: 12 }, (_, i) =>
          steps(lastSeq + 1 + 500 * i, lastSeq + 500 * (i + 1)).map((event) => ({ ...event, values: [round] })),
        );
        for (const events of late)
          before.emit('events', { events }, (answer: Answer) => {
            if (answer.ok) acknowledged.push(...events);
          });
        const attached = await trainer.ask(after, 'attach', trainer.attachment());
        holds(attached.ok, `The hub refused the second connection: ${attached.error?.message}`);
        const from = attached.lastSeq! + 1;
        const own = steps(from, from + 4).map((event) => ({ ...event, values: [-round] }));
        stored(await trainer.send(after, own), from + 4, 'events of the connection that has the run');
        acknowledged.push(...own);
        await until('the hub to close the other connection', () => !before.connected);
        [holder, lastSeq] = [after, from + 4];
      }
      stored(await trainer.send(holder, steps(lastSeq + 1, lastSeq + 1)), lastSeq + 1, 'one more event');
      const kept = new Map((await trainer.stored()).map((event) => [event['seq'], event]));
      same(kept.size, lastSeq + 1, 'The number of stored events');
      for (const { seq, values } of acknowledged)
        same(kept.get(seq)!['metrics'], { 'train/loss': (values as number[])[0] }, `Event ${String(seq)}`);
    },
  ),
  hubCase('pipelined batches', 'Batches sent without waiting are stored in order.', async (trainer) => {
    const socket = await trainer.started();
    const answers = await Promise.all(
      Array.from({ length: 16 }, (_, i) => trainer.send(socket, steps(2 + 10 * i, 11 + 10 * i))),
    );
    answers.forEach((answer, i) => stored(answer, 11 + 10 * i, `batch ${i + 1}`));
    const seqs = (await trainer.stored()).map(({ seq }) => seq);
    same(
      seqs,
      Array.from({ length: 161 }, (_, i) => i + 1),
      'The stored values',
    );
  }),
  hubCase('repeats', 'Events that are sent again are stored once.', async (trainer) => {
    const socket = await trainer.started();
    for (let time = 0; time < 3; time++) stored(await trainer.send(socket, steps(2, 9)), 9, 'the same batch');
    stored(await trainer.send(socket, steps(5, 12)), 12, 'a batch that overlaps');
    same((await trainer.stored()).length, 12, 'The number of stored events');
  }),
  hubCase('a gap', 'A gap is answered with the number to continue from.', async (trainer) => {
    const socket = await trainer.started();
    const answer = await trainer.send(socket, steps(4, 6));
    refused(answer, 'gap', 'a gap');
    same([answer.lastSeq, answer.error?.retry], [1, true], 'lastSeq and retry');
    stored(await trainer.send(socket, steps(2, 6)), 6, 'the events from there');
  }),
  hubCase('steps that go back', 'Such a step is invalid, and nothing of its batch is stored.', async (trainer) => {
    const socket = await trainer.started();
    stored(await trainer.send(socket, steps(2, 5)), 5, 'steps');
    refused(await trainer.send(socket, [step(6), step(7, { step: 3 })]), 'invalid', 'a step that goes back');
    const [first, second] = await Promise.all([
      trainer.send(socket, [step(6, { step: 50 })]),
      trainer.send(socket, [step(7, { step: 40 })]),
    ]);
    stored(first, 6, 'a step forward');
    refused(second, 'invalid', 'a pipelined step that goes back');
  }),
  hubCase(
    'events after the last one',
    'The run accepts none, pipelined or not, and its trainer gets a refusal.',
    async (trainer) => {
      const socket = await trainer.started();
      refused(
        await trainer.send(socket, [control(2, 'run_finished'), step(3)]),
        'invalid',
        'an event after the last one in one batch',
      );
      const [last, late] = await Promise.all([
        trainer.send(socket, [control(2, 'run_finished')]),
        trainer.send(socket, [step(3)]),
      ]);
      stored(last, 2, 'the last event');
      refused(late, 'conflict', 'an event after the last one');
      same(late.error?.retry, false, 'retry');
      stored(await trainer.send(socket, [control(2, 'run_finished')]), 2, 'the last event again');
      stored(
        await trainer.ask(socket, 'attach', trainer.attachment({ acknowledgedSeq: 2 })),
        2,
        'attach after the end',
      );
    },
  ),
  hubCase(
    'a line that breaks at every stage',
    'Each event is stored once, wherever the connection breaks.',
    async (trainer) => {
      ((await trainer.connect()) as Socket).disconnect();
      const asking = (await trainer.connect()) as Socket;
      asking.emit('attach', trainer.attachment());
      asking.disconnect();
      let from = 1;
      let socket = await trainer.attached();
      for (let round = 0; round < 6; round++) {
        const events = [...(from === 1 ? [runStarted()] : []), ...steps(Math.max(2, from), from + 19)];
        // Disconnected before the answer: the hub may have stored it or not.
        socket.emit('events', { events: events.slice(0, 10) });
        socket.emit('events', { events: events.slice(10) });
        if (round % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 5 * round));
        socket.io.engine.close();
        socket = (await trainer.connect()) as Socket;
        const { ok, lastSeq = -1 } = await trainer.ask(
          socket,
          'attach',
          trainer.attachment({ acknowledgedSeq: from - 1 }),
        );
        holds(ok && lastSeq >= from - 1 && lastSeq <= from + 19, `The hub came back with lastSeq ${lastSeq}.`);
        stored(await trainer.send(socket, events), from + 19, 'all of them again');
        from += 20;
      }
      same(
        (await trainer.stored()).map(({ seq }) => seq),
        Array.from({ length: 120 }, (_, i) => i + 1),
        'The stored values',
      );
    },
  ),
  hubCase('a killed hub', 'Nothing acknowledged is lost, and the trainer continues.', async (trainer) => {
    if (!trainer.hub.killAndRestart) throw new NotTried('The case needs a hub that this program may kill.');
    const socket = await trainer.started();
    stored(await trainer.send(socket, steps(2, 500)), 500, 'events');
    socket.emit('events', { events: steps(501, 900) });
    await trainer.hub.killAndRestart();
    const again = (await trainer.connect()) as Socket;
    const { lastSeq = 0 } = await trainer.ask(again, 'attach', trainer.attachment({ acknowledgedSeq: 500 }));
    holds(lastSeq >= 500, `The hub has lost acknowledged events: it came back with ${lastSeq} of 500.`);
    stored(await trainer.send(again, steps(501, 900)), 900, 'the rest');
    same((await trainer.stored()).length, 900, 'The number of stored events');
  }),
  hubCase(
    'NaN and Infinity',
    'They are stored as values, both as words and as bare Python literals.',
    async (trainer) => {
      const socket = await trainer.started();
      const values = ['NaN', 'Infinity', '-Infinity', 1.797e308];
      stored(
        await trainer.send(
          socket,
          values.map((value, i) => step(2 + i, { values: [value] })),
        ),
        5,
        'words',
      );
      const bare = JSON.stringify(step(6, { values: ['?'] })).replace('"?"', 'NaN');
      stored(await trainer.sendText(bare), 6, 'a bare NaN');
      const kept = [];
      for (let seq = 2; seq <= 6; seq++) kept.push((await valuesAt(trainer, seq))['train/loss']);
      same(kept, [...values, 'NaN'], 'The stored values');
    },
  ),
  hubCase('bad series beside good ones', 'The good values are stored, the bad ones named.', async (trainer) => {
    const socket = await trainer.started();
    const answer = await trainer.send(socket, [
      control(2, 'series_declared', {
        step: 1,
        series: [
          { number: 1, name: 'eval/acc top-1' },
          { number: 2, name: ' bad name ' },
          { number: 3, name: 'constructor' },
          { number: 4, name: '__proto__' },
        ],
      }),
      step(3, { series: [0, 1, 2, 3, 4, 77, 1], values: [1, 'high', 3, 4, 5, 6, 7] }),
    ]);
    stored(answer, 3, 'the batch');
    holds((answer.problems?.length ?? 0) >= 4, 'The acknowledgement does not name what was omitted.');
    const kept = (await trainer.stored()).find(({ seq }) => seq === 3)!['metrics'];
    const wanted = [
      ['__proto__', 5],
      ['constructor', 4],
      ['eval/acc top-1', 7],
      ['train/loss', 1],
    ];
    same(Object.entries(kept as object).sort(), wanted, 'The stored values');
  }),
  hubCase('token shifts and examples', 'They come back complete, from their own routes.', async (trainer) => {
    const socket = await trainer.started();
    const picture = { mediaType: 'image/png', base64: `iVBORw0KGgo${'A'.repeat(87_360)}A` };
    const [shift, examples] = [
      control(2, 'token_shift', { prompts: 'held_out', tokens: [{ token: ' three', id: 5, base: 0.001, now: 0.4 }] }),
      control(3, 'examples', {
        task: 'counting',
        // Nearly the limit of 2 MB per event.
        examples: Array.from({ length: 22 }, (_, i) => ({
          ...{ exampleId: `${i}`, prompt: 'Wie viele Würfel?', picture, expected: '三' },
          ...{ base: { answer: 'red', right: false }, now: { answer: '' } },
        })),
      }),
    ];
    stored(await trainer.send(socket, [shift, examples]), 3, 'a token shift and examples');
    same((await trainer.stored()).slice(1), [shift, examples], 'The events in the export');
    same(await trainer.largeEvents('token-shifts'), [shift], 'The answer of token-shifts');
    same(await trainer.largeEvents('examples'), [examples], 'The answer of examples');
    const broken = { exampleId: 'broken', prompt: 'x', picture: { mediaType: 'image/png', base64: 'PHN2Zz4=' } };
    const answer = await trainer.send(socket, [
      control(4, 'examples', { task: 'counting', examples: [{ exampleId: 'no prompt' }, broken] }),
    ]);
    stored(answer, 4, 'broken examples');
    same(
      answer.problems?.map(({ seq, series }) => ({ seq, series })),
      [4, 4].map((seq) => ({ seq, series: null })),
      'The problems',
    );
    same(
      (await trainer.largeEvents('examples?newest=1'))[0]?.['examples'],
      [{ exampleId: 'broken', prompt: 'x' }],
      'The rest of broken examples',
    );
    const many = control(5, 'examples', {
      task: 'counting',
      examples: Array(201).fill({ exampleId: 'a', prompt: '' }),
    });
    refused(await trainer.send(socket, [many]), 'invalid', '201 examples');
  }),
  hubCase('wrong events', 'A refusal names event and rule; the connection stays.', async (trainer) => {
    const socket = await trainer.started();
    const nanoseconds = await trainer.send(socket, [step(2), step(3, { wallTimeMs: Date.now() * 1e6 })]);
    refused(nanoseconds, 'invalid', 'a time in nanoseconds');
    holds(/\b3\b/.test(nanoseconds.error!.message), `It does not name event 3: ${nanoseconds.error!.message}`);
    refused(await trainer.send(socket, [control(2, 'sang_a_song')]), 'invalid', 'an unknown type');
    refused(await trainer.ask(socket, 'events', 'nonsense'), 'invalid', 'no batch');
    refused(await trainer.send(socket, []), 'invalid', 'an empty batch');
    stored(await trainer.send(socket, [step(2)]), 2, 'the right event after that');
  }),
  hubCase(
    'too large',
    'Too many events or too long a message is refused, and the connection stays.',
    async (trainer) => {
      const socket = await trainer.started();
      refused(await trainer.send(socket, steps(2, 1002)), 'too_large', '1,001 events');
      const long = await trainer.send(socket, [control(2, 'run_paused', { reason: 'x'.repeat(33 * 1024 * 1024) })]);
      refused(long, 'too_large', 'a message of 33 MiB');
      stored(await trainer.send(socket, steps(2, 1001)), 1001, '1,000 events after that');
    },
  ),
  hubCase('busy', 'The hub accepts that a trainer will be busy, within limits.', async (trainer) => {
    const socket = await trainer.started();
    holds((await trainer.ask(socket, 'busy', { forMs: 60_000, why: 'a long step' })).ok, 'busy is refused.');
    refused(await trainer.ask(socket, 'busy', { forMs: 86_400_000, why: 'a day' }), 'invalid', 'a whole day');
  }),
  hubCase('commands', 'A command is repeated until its end was seen, and ends once.', async (trainer) => {
    const socket = await trainer.started();
    const { commandId, state } = await trainer.command({ kind: 'pause' });
    same(state, 'pending', 'The state of a command that is sent');
    await until('the command', () => trainer.commands.length === 1);
    socket.disconnect();
    const again = await trainer.attached({ acknowledgedSeq: 1 });
    await until('the command again after the line broke', () => trainer.commands.length >= 2);
    same(new Set(trainer.commands.map((each) => each.commandId)), new Set([commandId]), 'The ids');
    const applied = control(2, 'command_applied', { commandId, before: { paused: false }, after: { paused: true } });
    stored(await trainer.send(again, [applied, control(3, 'run_paused', { reason: '' })]), 3, 'its end');
    same((await trainer.commandLine(commandId)).state, 'applied', 'The state of the command');
    same((await trainer.command({ kind: 'pause' }, { commandId })).state, 'applied', 'The same id again');
    const told = control(4, 'command_failed', { commandId, reason: 'a second end' });
    stored(await trainer.send(again, [told]), 4, 'a second end');
    same((await trainer.commandLine(commandId)).state, 'applied', 'The state after a second end');
    const resumed = await trainer.command({ kind: 'resume' });
    stored(
      await trainer.send(again, [control(5, 'command_failed', { commandId: resumed.commandId, reason: 'no' })]),
      5,
      'a failure',
    );
    const line = await trainer.commandLine(resumed.commandId);
    same([line.state, line.reason], ['failed', 'no'], 'A command that failed');
  }),
  hubCase('commands that a trainer does not take', 'They are rejected and never sent.', async (trainer) => {
    await trainer.started({ commands: ['stop'] });
    same((await trainer.command({ kind: 'pause' })).state, 'rejected', 'The state of pause');
    same((await trainer.command({ kind: 'stop' })).state, 'pending', 'The state of stop');
    await until('the command', () => trainer.commands.length > 0);
    same(
      trainer.commands.map(({ action }) => action.kind),
      ['stop'],
      'What was sent',
    );
  }),
  hubCase('the end closes commands', 'Commands that are open when a run ends fail.', async (trainer) => {
    const socket = await trainer.started();
    const { commandId } = await trainer.command({ kind: 'stop' });
    stored(await trainer.send(socket, [control(2, 'run_finished')]), 2, 'the last event');
    same((await trainer.commandLine(commandId)).state, 'failed', 'The state of the open command');
    same((await trainer.command({ kind: 'stop' })).state, 'rejected', 'A command after the end');
  }),
  hubCase('a description that changes', 'Omitted fields stay.', async (trainer) => {
    const socket = await trainer.started();
    const changes: Message = { totalSteps: 500, tags: ['changed'] };
    stored(await trainer.send(socket, [control(2, 'run_described', { step: 1, ...changes })]), 2, 'run_described');
  }),
  hubCase('segments', 'An ended run continues under its id from an earlier step.', async (trainer) => {
    const socket = await trainer.started();
    stored(await trainer.send(socket, [...steps(2, 10), control(11, 'run_finished')]), 11, 'a whole run');
    stored(await trainer.ask(socket, 'attach', trainer.attachment()), 11, 'attach without newSegment');
    refused(
      await trainer.send(socket, [control(12, 'segment_started', { step: 5, fromStep: 5 })]),
      'conflict',
      'a segment',
    );
    const again = await trainer.attached({ newSegment: true, acknowledgedSeq: 11 });
    const ahead = control(12, 'segment_started', { step: 99, fromStep: 99 });
    refused(await trainer.send(again, [ahead]), 'invalid', 'a segment ahead of the run');
    const begins = control(12, 'segment_started', { step: 5, fromStep: 5 });
    stored(await trainer.send(again, [begins, step(13, { step: 6 }), step(14, { step: 7 })]), 14, 'a segment');
    refused(await trainer.send(again, [step(15, { step: 6 })]), 'invalid', 'a step that goes back in a segment');
    stored(await trainer.send(again, [control(15, 'run_finished', { step: 7 })]), 15, 'the last event');
    same((await trainer.stored()).length, 15, 'The number of stored events');
  }),
];
