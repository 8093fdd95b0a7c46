import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { describe, it } from 'node:test';
import type { Addr } from 'shoal';
import { openUdpSwarm } from 'shoal/udp';
import { EchoGuard } from '../../../apps/cli/src/echo.ts';
import { listening } from './command.ts';

await using udp = await openUdpSwarm({ bind: '127.0.0.1:0' });
const at = (text: string): Addr => udp.parseAddr(text);
const bytes = (value: number): Uint8Array => Uint8Array.of(value >> 16, value >> 8, value);

function guard({ proven = false, local = '203.0.113.1:5000' } = {}) {
  const clock = { nowMs: 0 };
  const echo = new EchoGuard({ proven, localAddrs: () => [at(local)], nowMs: () => clock.nowMs });
  return { clock, echo };
}

describe('what is echoed', () => {
  it('is nothing from an own address, by whatever name', () => {
    const { echo } = guard();
    const own = Object.values(networkInterfaces()).flatMap((all = []) => all.filter(({ family }) => family === 'IPv4'));
    for (const ip of ['203.0.113.1', '127.0.0.1', '127.9.9.9', '0.0.0.0', ...own.map(({ address }) => address)]) {
      assert.equal(echo.mayEcho(at(`${ip}:5000`), bytes(1)), false, ip);
    }
    assert.equal(echo.mayEcho(at('203.0.113.2:5000'), bytes(1)), true);
    assert.equal(echo.mayEcho(at('127.0.0.1:5001'), bytes(1)), true);
  });

  it('is nothing that has just gone to the same source, so two that echo fall silent', () => {
    const { echo, clock } = guard();
    assert.equal(echo.mayEcho(at('203.0.113.2:1'), bytes(1)), true);
    clock.nowMs = 999;
    assert.equal(echo.mayEcho(at('203.0.113.2:1'), bytes(1)), false);
    clock.nowMs = 1998; // in the next second
    assert.equal(echo.mayEcho(at('203.0.113.2:1'), bytes(1)), false);
    assert.equal(echo.mayEcho(at('203.0.113.2:2'), bytes(1)), true);
    assert.equal(echo.mayEcho(at('203.0.113.2:1'), bytes(2)), true);
    clock.nowMs = 4000;
    assert.equal(echo.mayEcho(at('203.0.113.2:1'), bytes(1)), true);
    assert.equal(echo.refused, 2);
  });

  it('is 4096 messages a second for an IP that is not proven, and 65 536 in all', () => {
    const { echo, clock } = guard();
    const taken = (addr: string, count: number): number =>
      Array.from({ length: count }, (_, i) => echo.mayEcho(at(addr), bytes(i))).filter(Boolean).length;
    assert.equal(taken('203.0.113.2:1', 5000), 4096);
    assert.equal(taken('203.0.113.2:2', 10), 0);
    assert.equal(taken('127.0.0.1:1', 70_000), 65_536 - 4096);
    assert.equal(taken('203.0.113.3:1', 10), 0);
    clock.nowMs = 2000;
    assert.equal(taken('203.0.113.3:1', 10), 10);
  });

  it('is everything where the stack proves the source, own addresses apart', () => {
    const { echo } = guard({ proven: true });
    for (let i = 0; i < 5000; i++) assert(echo.mayEcho(at('203.0.113.2:1'), bytes(1)));
    assert.equal(echo.mayEcho(at('203.0.113.1:5000'), bytes(1)), false);
  });
});

async function socketAt(address: string): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

describe('shoal listen --echo over udp', () => {
  it('ends what another listener that echoes begins', async () => {
    await using listener = await listening('--stack', 'udp', '--echo', '--quiet');
    const port = Number(listener.addr.split(':')[1]);
    using closing = new DisposableStack();
    const mirror = closing.adopt(await socketAt('127.0.0.1'), (socket) => socket.close());
    let returned = 0;
    let ended: () => void;
    const last = new Promise<void>((resolve) => (ended = resolve));
    // It tells everything back, as the other of two listeners does.
    mirror.on('message', (message, { port: from, address }) => {
      if (message.toString() === 'end') return ended();
      returned++;
      mirror.send(message, from, address);
    });
    for (let i = 0; i < 10; i++) mirror.send(`loop ${i}`, port, '127.0.0.1');
    // Once this has come, whatever went round had its turn: one socket keeps the order.
    for (let i = 0; i < 50; i++) await new Promise((resolve) => mirror.send(`x ${i}`, port, '127.0.0.1', resolve));
    mirror.send('end', port, '127.0.0.1');
    await last;
    const { code, events } = await listener.interrupt();
    assert.equal(code, 0);
    assert(returned <= 60, `${returned} came back`);
    assert(Number(events.at(-1)?.['received']) <= 122, JSON.stringify(events.at(-1)));
  });
});
