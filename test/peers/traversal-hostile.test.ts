/** Peers that make others send to a victim: by offers of punches, and by addresses that they claim. */

import assert from 'node:assert/strict';
import { afterEach, before, describe, it, mock } from 'node:test';
import { encodeText } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/core/peer-id.ts';
import type { AskHandler } from '../../src/core/message.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import type { PeerAddr } from '../../src/peers/address.ts';
import type { Peers } from '../../src/peers/index.ts';
import { ServiceChannel } from '../../src/peers/service-channel.ts';
import { decodePunchRequest, encodePunchAnswer, encodePunchRequest } from '../../src/protocols/peers/punch-request.ts';
import { encodePunchOffer, type PunchOffer } from '../../src/protocols/punch/offer.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { idOf, PeersWorld } from '../support/peers-world.ts';
import { TurnTestServer } from '../support/turn-server.ts';

before(() => loadQuicEngine());
afterEach(() => mock.restoreAll());

/** Packets of a world that arrive at an IP, or would have without a low TTL. */
class Watched extends PeersWorld {
  ip = 'nowhere';
  packets = 0;
  bytes = 0;

  constructor() {
    super({
      latencyMs: 20,
      trace: (line: string) => {
        const [, bytes] = /, (\d+) bytes dropped, (?:ip\.ttl|host\.no_socket)/.exec(line) ?? [];
        if (bytes === undefined || !line.includes(`> ${this.ip}:`)) return;
        this.packets++;
        this.bytes += Number(bytes);
      },
    });
  }
}

/** The punch services of all peers that are opened from now on. @param liar - who confirms whatever it is asked */
function punchChannels(liar: PeerId): Map<PeerId, ServiceChannel> {
  const channels = new Map<PeerId, ServiceChannel>();
  const serve = Reflect.get(ServiceChannel.prototype, 'serve');
  mock.method(ServiceChannel.prototype, 'serve', function (this: ServiceChannel, handler: AskHandler<PeerAddr>) {
    if (this.counters.layer !== 'punch') return serve.call(this, handler);
    channels.set(this.addr.id, this);
    return serve.call(this, (request) => {
      const isAsked = this.addr.id === liar && decodePunchRequest(request.payload)?.type === 'observed';
      return isAsked ? encodePunchAnswer({ type: 'offer', bytes: new Uint8Array(0) }) : handler(request);
    });
  });
  return channels;
}

interface Scene {
  readonly w: Watched;
  readonly victim: VirtualHost;
  readonly pawn: Peers;
  /** Asks the pawn to punch to the victim, once a second. */
  readonly punch: (seconds: number, ports: PunchOffer['ports']) => Promise<void>;
}

/** A peer behind a NAT, and one that is connected with it and names a victim. @param accomplice - who confirms that too */
async function scene(accomplice: boolean): Promise<Scene> {
  const channels = punchChannels(idOf(accomplice ? 6 : 5));
  const w = new Watched();
  const victim = w.net.host();
  w.ip = victim.ip;
  const pawn = await w.open(0, w.net.host({ behind: w.net.nat('port') }));
  const others: Peers[] = [];
  for (const i of [5, 6]) others.push(await w.open(i, w.net.host(), { coordinate: true }));
  for (const other of others) {
    other.serve(({ payload }) => payload);
    pawn.maintain(other.id);
    await w.run(pawn.ask(other.id, encodeText('hello')));
  }
  let count = 0;
  const punch = async (seconds: number, ports: PunchOffer['ports']): Promise<void> => {
    for (let i = 0; i < seconds; i++) {
      const addrs = [{ ip: victim.ip, port: 5000 }];
      const offer = encodePunchOffer({ token: new Uint8Array(16).fill(count++), addrs, ports });
      const body = { to: pawn.id, wallMs: 1, transport: 'quic', offer };
      channels
        .get(idOf(5))!
        .ask(pawn.id, encodePunchRequest({ type: 'punch', body }))
        .catch(() => undefined);
      await w.advance(1000);
    }
  };
  return { w, victim, pawn, punch };
}

describe('peers that name a victim in offers of punches', () => {
  it('a peer cannot confirm its own address: no ports of the victim are searched', async () => {
    const { w, punch } = await scene(false);
    await punch(60, 'random');
    assert.ok(w.packets > 0 && w.packets <= 160, `${w.packets} packets`);
    await w.close();
  });

  it('an IP that does not answer gets 16 punches of ten probes, and one more in a minute', async () => {
    const { w, punch } = await scene(false);
    await punch(600, 'steady');
    assert.ok(w.packets > 160 && w.packets <= 10 * (16 + 10), `${w.packets} packets`);
    assert.equal(w.bytes, 56 * w.packets);
    await w.close();
  });

  it('with an accomplice that confirms it: three searches for random ports, and one more in ten minutes', async () => {
    const { w, punch } = await scene(true);
    await punch(600, 'random');
    assert.ok(w.packets > 1000 && w.packets <= 4 * 1100, `${w.packets} packets`);
    await w.close();
  });

  it('the signatures that one peer hands on are verified at a limited rate', async () => {
    const { w, pawn } = await scene(false);
    const channels = punchChannels(idOf(5));
    const other = await w.open(7, w.net.host(), { coordinate: true });
    other.serve(({ payload }) => payload);
    await w.run(pawn.ask(other.id, encodeText('hello')));
    const signed = { spki: new Uint8Array(44), signature: new Uint8Array(64), body: new Uint8Array(0) };
    const request = encodePunchRequest({ type: 'forwarded', signed });
    const answers: number[] = [];
    for (let i = 0; i < 100; i++) {
      const asked = channels.get(other.id)!.ask(pawn.id, request);
      asked.then(([status]) => answers.push(status!)).catch(() => undefined);
    }
    await w.advance(1000);
    const [denied, busy] = [5, 1].map((code) => answers.filter((status) => status === code).length);
    assert.equal(answers.length, 100);
    assert.ok(denied! >= 64 && denied! <= 80 && busy! >= 20, `${denied} denied, ${busy} busy`);
    await w.close();
  });
});

describe('peers that claim addresses of a victim', () => {
  it('at another TURN server: nothing is sent there', async () => {
    const w = new Watched();
    const victim = w.net.host();
    w.ip = victim.ip;
    const server = w.net.host();
    await w.run(TurnTestServer.open(server.network, server.realm, server.ip));
    const turn = [{ server: `${server.ip}:3478`, username: 'user', credential: 'secret' }];
    const pawn = await w.open(0, w.net.host({ behind: w.net.nat('port') }), { turn });
    const externalAddrs = [1, 2, 3, 4].map((i) => `turn://${idOf(5)}@${victim.ip}:${5000 + i}`);
    const attacker = await w.open(5, w.net.host(), { externalAddrs });
    attacker.serve(({ payload }) => payload);
    await w.advance(2000);
    // What the pawn was given is true.
    w.directory.addrs.set(
      attacker.id,
      attacker.addrs.filter((addr) => !addr.startsWith('turn://')),
    );
    await w.run(pawn.ask(attacker.id, encodeText('hello')));
    await w.run(attacker.close());
    w.directory.addrs.delete(attacker.id);
    pawn.maintain(attacker.id);
    await w.advance(120_000);
    assert.equal(w.packets, 0);
    assert.match(pawn.explain(attacker.id).text, /not of the TURN server of this node/);
    await w.close();
  });

  it('a relay that names an IP which begins as its own: nobody is told of it', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const server = w.net.host({ ip: '11.0.9.1' });
    const relay = await w.open(10, server, { serveRelay: true, externalAddrs: ['11.0.9.12:4000'] });
    const client = await w.open(0, w.net.host());
    client.serve(({ payload }) => payload);
    await w.run(relay.ask(client.id, encodeText('hello')));
    await w.advance(3000);
    assert.equal(client.reservations[0]?.state, 'reserved');
    const texts = client.addrs.filter((addr) => addr.includes(relay.id));
    assert.ok(texts.length > 0 && texts.every((addr) => addr.includes('@11.0.9.1:')), texts.join(' '));
    await w.close();
  });
});
