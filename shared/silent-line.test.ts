import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { lookMs, silenceOf } from './silent-line.js';

/** A socket of a Socket.IO client. */
class Line {
  active = true;
  readonly io = Object.assign(new EventEmitter(), { engine: new EventEmitter() });
  readonly did: string[] = [];
  disconnect = () => this.did.push('disconnect');
  connect = () => this.did.push('connect');
  /** A new connection is open. */
  open(): EventEmitter {
    this.io.engine = new EventEmitter();
    this.io.emit('open');
    return this.io.engine;
  }
}

const lookFor = (look: () => void, looks: number): void => {
  for (let i = 0; i < looks; i++) look();
};
const silenceMs = 4 * lookMs;

it('a line without a packet for too long is left, and connects anew', () => {
  const line = new Line();
  const look = silenceOf(line, silenceMs, () => line.did.push('told'));
  const engine = line.open();
  for (let i = 0; i < 5; i++) {
    lookFor(look, 4);
    engine.emit('packet');
  }
  expect(line.did).toEqual([]);
  lookFor(look, 5);
  expect(line.did).toEqual(['disconnect', 'told', 'connect']);
});

it('a socket that was closed for good stays closed', () => {
  const line = new Line();
  line.active = false;
  lookFor(
    silenceOf(line, silenceMs, () => undefined),
    10,
  );
  expect(line.did).toEqual([]);
});

it('packets on a connection that was left do not count', () => {
  const line = new Line();
  const look = silenceOf(line, silenceMs, () => undefined);
  const left = line.open();
  line.open();
  for (let i = 0; i < 5; i++) {
    look();
    left.emit('packet');
  }
  expect(line.did).toEqual(['disconnect', 'connect']);
});
