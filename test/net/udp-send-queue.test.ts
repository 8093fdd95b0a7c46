import assert from 'node:assert/strict';
import { type Socket } from 'node:dgram';
import { describe, it } from 'node:test';
import { sendQueueOf } from '../../src/net/udp/send-queue.ts';

describe('the send queue of a socket that tells of none', () => {
  it('counts datagrams and bytes until their callback, and says that each may wait', () => {
    const callbacks: ((error: Error | null) => void)[] = [];
    const socket = {
      send: (_payload: Uint8Array, _port: number, _host: string, sent: (error: Error | null) => void) =>
        void callbacks.push(sent),
    } as unknown as Socket;
    const queue = sendQueueOf(socket);
    const outcomes: (string | undefined)[] = [];
    assert.deepEqual([queue.count(), queue.bytes(), queue.mayWait()], [0, 0, true]);
    for (const length of [10, 20]) {
      queue.send(new Uint8Array(length), 1, '127.0.0.1', (error) => void outcomes.push(error?.message));
    }
    assert.deepEqual([queue.count(), queue.bytes()], [2, 30]);
    callbacks[0]!(null);
    assert.deepEqual([queue.count(), queue.bytes(), outcomes], [1, 20, [undefined]]);
    callbacks[1]!(new Error('no route'));
    assert.deepEqual([queue.count(), queue.bytes(), outcomes], [0, 0, [undefined, 'no route']]);
  });

  it('leaves nothing counted for a send that throws', () => {
    const socket = {
      send: () => {
        throw new RangeError('port');
      },
    } as unknown as Socket;
    const queue = sendQueueOf(socket);
    assert.throws(() => queue.send(new Uint8Array(1), 70_000, '127.0.0.1', () => {}), RangeError);
    assert.deepEqual([queue.count(), queue.bytes()], [0, 0]);
  });

  it('takes the word of one that tells', () => {
    const socket = { getSendQueueCount: () => 3, getSendQueueSize: () => 300 } as unknown as Socket;
    const queue = sendQueueOf(socket);
    assert.deepEqual([queue.count(), queue.bytes(), queue.mayWait()], [3, 300, true]);
  });
});
