import assert from 'node:assert/strict';
import type { Socket } from 'node:dgram';
import { describe, it } from 'node:test';
import { sendSocketOf } from '../../src/net/udp/send-socket.ts';

describe('a socket that does not tell what waits in it', () => {
  it('is counted until the callback, and sends a copy of what the caller may change meanwhile', () => {
    const callbacks: ((error: Error | null) => void)[] = [];
    const given: Uint8Array[] = [];
    const socket = {
      send: (payload: Uint8Array, _port: number, _host: string, sent: (error: Error | null) => void) => {
        given.push(payload);
        callbacks.push(sent);
      },
    } as unknown as Socket;
    const queue = sendSocketOf(socket);
    const outcomes: (string | undefined)[] = [];
    assert.deepEqual([queue.getSendQueueCount(), queue.getSendQueueSize()], [0, 0]);
    for (const length of [10, 20]) {
      const payload = new Uint8Array(length);
      queue.send(payload, 1, '127.0.0.1', (error) => void outcomes.push(error?.message));
      payload.fill(1);
    }
    assert.deepEqual(given, [new Uint8Array(10), new Uint8Array(20)]);
    assert.deepEqual([queue.getSendQueueCount(), queue.getSendQueueSize()], [2, 30]);
    callbacks[0]!(null);
    assert.deepEqual([queue.getSendQueueCount(), queue.getSendQueueSize(), outcomes], [1, 20, [undefined]]);
    callbacks[1]!(new Error('no route'));
    assert.deepEqual([queue.getSendQueueCount(), queue.getSendQueueSize(), outcomes], [0, 0, [undefined, 'no route']]);
  });

  it('has nothing counted for a send that throws', () => {
    const socket = {
      send: () => {
        throw new RangeError('port');
      },
    } as unknown as Socket;
    const queue = sendSocketOf(socket);
    assert.throws(() => queue.send(new Uint8Array(1), 70_000, '127.0.0.1', () => {}), RangeError);
    assert.deepEqual([queue.getSendQueueCount(), queue.getSendQueueSize()], [0, 0]);
  });
});

it('a socket that tells what waits in it is used as it is', () => {
  const socket = { getSendQueueCount: () => 3, getSendQueueSize: () => 300 } as unknown as Socket;
  assert.equal(sendSocketOf(socket), socket);
});
