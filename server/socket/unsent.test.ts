import { describe, expect, it } from 'vitest';
import { SeriesFilter } from '../run/series-filter.js';
import type { DashboardSocket } from './socket-server.js';
import { boundUnsent } from './unsent.js';

/** A client with so many characters in its send buffer, and in its WebSocket. */
function client(series: string, buffered: number, ofWebSocket = 0) {
  const ended: string[] = [];
  const socket = {
    data: { watched: new Map([['run', new SeriesFilter([series])]]) },
    conn: {
      writeBuffer: buffered > 0 ? [{ data: 'x'.repeat(buffered) }] : [],
      transport: { socket: { bufferedAmount: ofWebSocket, terminate: () => ended.push('terminate') } },
      close: () => ended.push('close'),
    },
  } as unknown as DashboardSocket;
  return { socket, ended };
}

describe('what is held for clients that do not read', () => {
  it('is bounded in all: those with the most are cut', () => {
    const clients = [client('a', 100), client('b', 10, 500), client('c', 200), client('d', 0)];
    const { held, cut } = boundUnsent(
      clients.map(({ socket }) => socket),
      300,
    );
    expect(held).toBe(300);
    expect(cut).toEqual([clients[1]!.socket]);
    expect(clients.map(({ ended }) => ended)).toEqual([[], ['terminate', 'close'], [], []]);
  });

  it('counts once for clients that watch the same, as they share their messages', () => {
    const clients = [...Array.from({ length: 50 }, () => client('a', 100)), client('b', 90)];
    const { held, cut } = boundUnsent(
      clients.map(({ socket }) => socket),
      200,
    );
    expect({ held, cut }).toEqual({ held: 190, cut: [] });
  });
});
